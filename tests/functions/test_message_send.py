"""From a pending message to exactly one POST, and what stands against it."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from functions.channels.permission import check_times
from functions.message_send import MessageSend
from runtime.errors import ConfigurationError
from runtime.keys import check_keys
from runtime.settings import Settings, load_settings
from state.keyring import KeyRing
from state.outbound import raise_alert
from tests.functions.desk import NUMBER, PERSON, conversation, desk


async def test_a_reply_is_posted_once_and_as_whatsapp_wants_it(settings: Settings) -> None:
    async with desk(settings) as here:
        message = await here.writes("¿Talle 38? Sí, $ 45.999 👟")
        assert await here.sends(message) == "accepted"
        assert (here.meta.posts, here.meta.refused) == (1, [])
        taken = here.meta.accepted[0]
        assert (taken.phone_number_id, taken.to) == (NUMBER, PERSON)
        assert taken.body == "¿Talle 38? Sí, $ 45.999 👟"
        assert await here.attempts(message) == ["accepted"]
        wamid = await here.value("SELECT wamid FROM message WHERE message_id = $1", message)
        assert wamid == taken.wamid


async def test_a_person_without_a_number_is_answered_by_id(settings: Settings) -> None:
    async with desk(settings) as here:
        async with here.platform.database.tenant(here.tenant) as connection:
            here.conversation_id = await conversation(
                connection, here.tenant, here.channel_id, "AR.13491208655302741918", "bsuid"
            )
        assert await here.sends(await here.writes()) == "accepted"
        assert here.meta.accepted[0].to == "AR.13491208655302741918"


async def test_a_second_invocation_of_a_sent_message_posts_nothing(settings: Settings) -> None:
    async with desk(settings) as here:
        message = await here.writes()
        await here.sends(message)
        await here.sends(message)
        assert here.meta.posts == 1


async def test_a_conversation_keeps_its_order(settings: Settings) -> None:
    async with desk(settings) as here:
        messages = [await here.writes(f"{number}") for number in range(6)]
        started = [await here.starts(message) for message in messages]
        for one in started:
            await here.platform.end_of(one)
        assert [taken.body for taken in here.meta.accepted] == ["0", "1", "2", "3", "4", "5"]


async def test_the_connection_is_kept_for_the_next_message(settings: Settings) -> None:
    async with desk(settings) as here:
        await here.sends(await here.writes())
        assert here.meta._server is not None
        before = set(here.meta._server.server_state.connections)
        await here.sends(await here.writes())
        assert set(here.meta._server.server_state.connections) == before
        assert len(before) == 1


@pytest.mark.parametrize(
    ("table", "change", "words"),
    [
        ("conversation", {"holder": "person"}, "a person has taken over"),
        ("channel", {"agent": False}, "switched off for this number"),
    ],
)
async def test_an_agents_reply_is_withheld_when_people_decided_so_meanwhile(
    settings: Settings, table: str, change: dict[str, object], words: str
) -> None:
    async with desk(settings) as here:
        message, own = await here.writes(), await here.writes(author="person")
        await here.set(table, **change)
        assert await here.sends(message) == "withheld"
        assert words in (await here.problem(message) or "")
        assert here.meta.posts == 0
        assert await here.sends(own) == "accepted"


async def test_the_master_switch_withholds_what_agents_wrote(settings: Settings) -> None:
    async with desk(settings, agents_enabled=False) as here:
        assert await here.sends(await here.writes()) == "withheld"
        assert await here.sends(await here.writes(author="person")) == "accepted"


async def test_outside_of_the_window_nothing_is_sent_and_people_are_told(
    settings: Settings,
) -> None:
    async with desk(settings) as here:
        message = await here.writes()
        await here.set("conversation", window_until=datetime.now(UTC) - timedelta(seconds=1))
        assert await here.sends(message) == "failed"
        assert "template" in (await here.problem(message) or "")
        assert await here.alerts() == ["send_failed"]
        assert here.meta.posts == 0


async def test_marketing_does_not_go_to_whoever_opted_out(settings: Settings) -> None:
    async with desk(settings) as here:
        await here.set("contact", opted_out_at=datetime.now(UTC))
        assert await here.sends(await here.writes(class_="marketing")) == "withheld"
        assert await here.sends(await here.writes(class_="notice")) == "accepted"


async def test_a_notice_waits_for_the_shop_to_open_and_holds_back_no_reply(
    settings: Settings,
) -> None:
    tomorrow = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[
        (datetime.now(UTC) + timedelta(days=2)).weekday()
    ]
    async with desk(settings) as here:
        await here.set("shop", hours=f"{tomorrow} 09:00-18:00")
        notice, reply = await here.writes(class_="notice"), await here.writes()
        assert await here.sends(notice) == "pending"
        assert await here.sends(reply) == "accepted"
        waits = await here.value(
            "SELECT i.event FROM work w JOIN invocation i USING (id) WHERE w.lane IS NULL"
        )
        assert json.loads(waits) == {"conversation_id": None, "message_id": notice}
        await here.set("shop", hours=None)
        outcome = await here.platform.run(
            MessageSend(conversation_id=None, message_id=notice), tenant=here.tenant
        )
        assert outcome.state == "done"
        await here.until_accepted(2)


async def test_a_stopped_channel_keeps_its_messages(settings: Settings) -> None:
    async with desk(settings) as here:
        await here.set("channel", stopped="the token is not valid")
        message = await here.writes()
        await here.starts(message)
        await here.until_snoozed(50)
        assert (await here.state(message), here.meta.posts) == ("pending", 0)
        await here.set("channel", stopped=None)
        await here.wakes()
        await here.until_accepted(1)


async def test_a_token_that_is_not_valid_stops_the_number_and_tells_people(
    settings: Settings,
) -> None:
    async with desk(settings) as here:
        here.meta.answers_busy(190, 401)
        message = await here.writes()
        await here.starts(message)
        await here.until_attempts(message, ["rejected"])
        async with asyncio.timeout(10):
            while not await here.value("SELECT stopped FROM channel"):
                await asyncio.sleep(0.02)
        assert "enter a new one" in await here.value("SELECT stopped FROM channel")
        assert await here.alerts() == ["channel"]
        assert await here.state(message) == "sending"


async def test_a_missing_access_token_is_told_and_waited_for(settings: Settings) -> None:
    async with desk(settings) as here:
        await here.value("UPDATE credential SET state = 'revoked' RETURNING 1")
        message = await here.writes()
        await here.starts(message)
        await here.until_snoozed(50)
        assert await here.alerts() == ["channel"]
        assert (await here.attempts(message), here.meta.posts) == ([], 0)


async def test_a_sealed_access_token_says_which_key_is_missing(settings: Settings) -> None:
    other = KeyRing.parse("b3RoZXItLXNlY3JldC1qdXN0LWZvci10ZXN0cy0wMTI=")
    async with desk(settings) as here:
        await here.value("UPDATE credential SET key_id = $1 RETURNING 1", other.first)
        await here.starts(await here.writes())
        await here.until_snoozed(50)
        told = await here.value("SELECT message FROM alert")
        assert other.first in told
        assert "Put that key back" in told


async def test_a_message_waits_for_a_lost_key_and_is_sent_once_when_it_is_back(
    settings: Settings,
) -> None:
    async with desk(settings) as here:
        ours = await here.value("SELECT key_id FROM credential")
        await here.value("UPDATE credential SET key_id = 'lost-key' RETURNING 1")
        await check_keys(here.settings, here.platform.database)  # as every start does
        message = await here.writes()
        await here.starts(message)
        await here.until_snoozed(50)
        assert await here.alerts() == ["sealed", "channel"]
        assert here.meta.posts == 0

        await here.value("UPDATE credential SET key_id = $1 RETURNING 1", ours)
        await check_keys(here.settings, here.platform.database)
        open_ = "SELECT count(*) FROM alert WHERE kind = 'sealed' AND resolved_at IS NULL"
        assert await here.value(open_) == 0
        await here.value("UPDATE work SET run_at = clock_timestamp() RETURNING 1")
        await here.value("UPDATE lane SET run_at = clock_timestamp() RETURNING 1")
        await here.until_attempts(message, ["accepted"])
        assert here.meta.posts == 1


async def test_what_whatsapp_refuses_for_good_fails_with_words(settings: Settings) -> None:
    async with desk(settings) as here:
        here.meta.answers_busy(131047)
        message = await here.writes()
        assert await here.sends(message) == "failed"
        assert "template" in (await here.problem(message) or "")
        assert here.meta.posts == 1
        assert await here.alerts() == ["send_failed"]


async def test_a_refusal_for_lack_of_speed_is_sent_again_later(settings: Settings) -> None:
    async with desk(settings) as here:
        here.meta.answers_busy(130429, 429)
        message = await here.writes()
        assert await here.sends(message) == "accepted"
        *before, last = await here.attempts(message)
        # One that began too late for its guard, on a busy machine, is closed unsent.
        assert (set(before), last, here.meta.posts) == ({"rejected"}, "accepted", 2)


async def test_the_limit_per_person_waits_six_seconds(settings: Settings) -> None:
    async with desk(settings) as here:
        here.meta.answers_busy(131056)
        message = await here.writes()
        await here.starts(message)
        assert 5 < await here.until_snoozed(3) < 8
        assert await here.attempts(message) == ["rejected"]


async def test_the_other_form_of_a_number_is_tried_once(settings: Settings) -> None:
    async with desk(settings) as here:
        here.meta.answers_busy(131030)
        message = await here.writes()
        assert await here.sends(message) == "accepted"
        assert here.meta.accepted[0].to == "541155550000"
        here.meta.answers_busy(131026)
        here.meta.answers_busy(131026)
        again = await here.writes()
        assert await here.sends(again) == "failed"
        assert here.meta.posts == 4


async def test_a_provider_that_cannot_be_reached_costs_nothing(settings: Settings) -> None:
    async with desk(settings, graph_api_url="http://127.0.0.1:9") as here:
        message = await here.writes()
        await here.starts(message)
        await here.until_attempts(message, ["rejected"])
        assert await here.state(message) == "sending"


async def test_the_simulated_phone_gets_its_messages_at_once(settings: Settings) -> None:
    async with desk(settings) as here:
        await here.set("channel", kind="sandbox")
        message = await here.writes()
        assert await here.sends(message) == "delivered"
        wamid = await here.value("SELECT wamid FROM message WHERE message_id = $1", message)
        attempt = await here.value("SELECT attempt_id FROM send_attempt")
        assert wamid == f"wamid.sandbox.{attempt}"
        assert here.meta.posts == 0


async def test_the_simulated_phone_takes_up_an_attempt_that_died(settings: Settings) -> None:
    async with desk(settings) as here:
        await here.set("channel", kind="sandbox")
        message = await here.writes()
        await here.value(
            "INSERT INTO send_attempt (attempt_id, tenant, message_id, epoch, ticks)"
            " VALUES (gen_random_uuid(), $1, $2, 1, 0) RETURNING 1",
            here.tenant,
            message,
        )
        assert await here.sends(message) == "delivered"
        assert await here.attempts(message) == ["accepted"]


def test_times_that_could_send_twice_are_refused() -> None:
    settings = load_settings({})
    check_times(settings)
    wrong = settings.model_copy(update={"send_evidence_seconds": 12.0})
    with pytest.raises(ConfigurationError, match="NEXUS_SEND_EVIDENCE_SECONDS"):
        check_times(wrong)


async def test_neither_tokens_nor_texts_nor_numbers_are_logged(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with desk(settings) as here:
        here.meta.loses_the_next_answer()
        here.meta.answers_busy(131000, 400)
        message = await here.writes("canary-text")
        await here.starts(message)
        await here.until_accepted(1)
        await here.told(here.meta.accepted[0], "failed", 131000)
        other = await here.writes("canary-text")
        await here.sends(other)
        failures = await here.value("SELECT string_agg(message, ' ') FROM failure")
        alerts = await here.value("SELECT string_agg(message, ' ') FROM alert")
    written = " ".join(
        f"{record.getMessage()} {getattr(record, 'fields', '')}"
        for record in caplog.records
        if record.name.startswith("nexus")
    )
    for canary in ("canary", PERSON):
        assert canary not in written + str(failures) + str(alerts)


async def test_that_whatsapp_cannot_be_reached_is_over_with_the_next_send(
    settings: Settings,
) -> None:
    async with desk(settings) as here:
        async with here.platform.database.tenant(here.tenant) as connection:
            for kind in ("unreached", "channel"):
                await raise_alert(connection, here.tenant, kind, here.channel_id, "words")
            await raise_alert(connection, here.tenant, "unreached", here.channel_id + 1, "other")
        assert await here.sends(await here.writes()) == "accepted"
        still = "SELECT array_agg(message ORDER BY alert_id) FROM alert WHERE resolved_at IS NULL"
        assert await here.value(still) == ["words", "other"]
        who = "SELECT resolved_by || kind FROM alert WHERE resolved_at IS NOT NULL"
        assert await here.value(who) == "nexusunreached"
