"""Sends that nobody answered: decided by a status, by evidence, or by a person. Never by hope."""

import asyncio
from uuid import uuid4

import pytest

from functions.channels import channel
from runtime.settings import Settings
from tests.functions.desk import Desk, conversation, desk


async def in_doubt(here: Desk, *, accepted: bool) -> int:
    """Send a message whose POST stays without an answer; returns its id."""
    if accepted:
        here.meta.loses_the_next_answer()
    else:
        here.meta.drops_the_next_connection()
    message = await here.writes()
    await here.starts(message)
    async with asyncio.timeout(10):
        while here.meta.posts == 0:
            await asyncio.sleep(0.01)
    return message


async def test_a_status_decides_a_send_whose_answer_was_lost(settings: Settings) -> None:
    async with desk(settings) as here:
        message = await in_doubt(here, accepted=True)
        assert await here.told(here.meta.accepted[0], "delivered")
        assert await here.sends(message) == "delivered"
        assert (await here.attempts(message), here.meta.posts) == (["accepted"], 1)
        assert await here.value("SELECT decided_by FROM send_attempt") == "status"
        wamid = await here.value("SELECT wamid FROM message WHERE message_id = $1", message)
        assert wamid == here.meta.accepted[0].wamid


async def test_a_send_that_did_not_arrive_is_sent_again_on_evidence(settings: Settings) -> None:
    async with desk(settings) as here:
        message = await in_doubt(here, accepted=False)
        await here.later_send_is_told_of()
        await here.time_passes(3)
        assert await here.sends(message) == "accepted"
        assert await here.attempts(message) == ["absent", "accepted"]
        assert len(here.meta.accepted) == 1


@pytest.mark.parametrize("missing", ["later status", "open doors", "time"])
async def test_without_full_evidence_nothing_is_sent_again(
    settings: Settings, missing: str
) -> None:
    async with desk(settings, send_evidence_seconds=30.0, send_patience_seconds=60.0) as here:
        message = await in_doubt(here, accepted=True)
        if missing != "later status":
            await here.later_send_is_told_of()
        await here.time_passes(20 if missing == "time" else 40, doors_open=missing != "open doors")
        asked = await here.looks()
        await here.wakes()
        await here.until_looked(asked)
        assert (await here.attempts(message), here.meta.posts) == (["intent"], 1)


async def test_what_came_in_unread_proves_nothing(settings: Settings) -> None:
    async with desk(settings, send_evidence_seconds=30.0, send_patience_seconds=600.0) as here:
        message = await in_doubt(here, accepted=False)
        await here.later_send_is_told_of()
        await here.time_passes(40)
        await here.value("UPDATE intake_clock SET unread_seconds = 15 RETURNING 1")
        asked = await here.looks()
        await here.wakes()
        await here.until_looked(asked)
        assert await here.attempts(message) == ["intent"]
        await here.value("UPDATE intake_clock SET unread_seconds = 5 RETURNING 1")
        await here.wakes()
        await here.until_attempts(message, ["absent", "accepted"])


async def test_after_a_gap_silence_proves_nothing_for_long(settings: Settings) -> None:
    times = {"send_evidence_seconds": 5.0, "send_patience_seconds": 100.0}
    async with desk(settings, **times) as here:
        message = await in_doubt(here, accepted=False)
        await here.later_send_is_told_of()
        await here.time_passes(20)
        await here.value("UPDATE intake_clock SET gap_at = clock_timestamp() RETURNING 1")
        asked = await here.looks()
        await here.wakes()
        await here.until_looked(asked)
        assert await here.attempts(message) == ["intent"]
        await here.value(
            "UPDATE intake_clock SET gap_at = gap_at - interval '70 seconds' RETURNING 1"
        )
        await here.time_passes(70)
        await here.wakes()
        await here.until_attempts(message, ["absent", "accepted"])


async def test_when_the_patience_ends_a_person_decides_and_the_next_message_goes(
    settings: Settings,
) -> None:
    async with desk(settings) as here:
        message = await in_doubt(here, accepted=True)
        await here.time_passes(30)
        following = await here.writes()
        assert await here.sends(following) == "accepted"
        assert await here.state(message) == "unknown"
        assert "may not have arrived" in (await here.problem(message) or "")
        assert await here.alerts() == ["send_unknown"]
        assert here.meta.posts == 2
        assert await here.told(here.meta.accepted[0], "read")
        assert (await here.state(message), await here.problem(message)) == ("read", None)


async def test_marketing_is_never_sent_again_by_a_machine(settings: Settings) -> None:
    async with desk(settings) as here:
        here.meta.drops_the_next_connection()
        message = await here.writes(class_="marketing")
        await here.starts(message)
        await here.until_attempts(message, ["intent"])
        await here.later_send_is_told_of()
        await here.time_passes(3)
        assert await here.sends(message) == "unknown"
        assert here.meta.posts == 1


async def test_a_server_error_is_a_doubt(settings: Settings) -> None:
    async with desk(settings) as here:
        here.meta.breaks(500)
        here.meta.breaks(200, "<html>hello")
        message = await here.writes()
        await here.starts(message)
        for posts in (1, 2):
            await here.until_posts(posts)
            assert (await here.attempts(message))[-1] == "intent"
            await here.later_send_is_told_of()
            await here.time_passes(3)
        assert await here.sends(message) == "accepted"
        assert await here.attempts(message) == ["absent", "absent", "accepted"]


async def test_the_attempt_of_a_worker_that_died_is_waited_for(settings: Settings) -> None:
    async with desk(settings) as here:
        message = await here.writes()
        await here.value(
            "INSERT INTO send_attempt (attempt_id, tenant, message_id, epoch, ticks)"
            " SELECT $1, $2, $3, 1, ticks FROM intake_clock RETURNING 1",
            uuid4(),
            here.tenant,
            message,
        )
        await here.starts(message)
        asked = await here.looks()
        await here.until_looked(asked)
        assert here.meta.posts == 0
        await here.later_send_is_told_of()
        await here.time_passes(3)
        assert await here.sends(message) == "accepted"


async def test_a_later_message_waits_for_the_doubt_before_it(settings: Settings) -> None:
    async with desk(settings) as here:
        await in_doubt(here, accepted=False)
        following = await here.writes("second")
        last = await here.starts(following)
        asked = await here.looks()
        await here.until_looked(asked)
        assert here.meta.accepted == []
        await here.later_send_is_told_of()
        await here.time_passes(3)
        await here.platform.end_of(last)
        assert [taken.body for taken in here.meta.accepted] == ["Hola", "second"]


async def test_a_doubt_holds_up_nobody_else(settings: Settings) -> None:
    async with desk(settings) as here:
        await in_doubt(here, accepted=True)
        async with here.platform.database.tenant(here.tenant) as connection:
            here.conversation_id = await conversation(
                connection, here.tenant, here.channel_id, "5491155550001"
            )
        assert await here.sends(await here.writes()) == "accepted"


async def test_a_status_that_comes_before_the_answer_stands(settings: Settings) -> None:
    async with desk(settings, send_timeout_seconds=1.4) as here:
        answer = asyncio.Event()
        here.meta.answers_after(answer)
        message = await here.writes()
        invocation = await here.starts(message)
        await here.until_accepted(1)
        assert await here.told(here.meta.accepted[0], "delivered")
        answer.set()
        await here.platform.end_of(invocation)
        assert (await here.state(message), await here.attempts(message)) == (
            "delivered",
            ["accepted"],
        )
        assert here.meta.posts == 1


async def test_a_status_after_the_evidence_tells_people_that_it_may_be_there_twice(
    settings: Settings,
) -> None:
    async with desk(settings) as here:
        message = await in_doubt(here, accepted=True)
        await here.later_send_is_told_of()
        await here.time_passes(3)
        assert await here.sends(message) == "accepted"
        assert len(here.meta.accepted) == 2  # W was too short: the one way to a duplicate
        for _ in range(2):
            assert await here.told(here.meta.accepted[0], "delivered")
        assert await here.alerts() == ["arrived_twice"]
        assert await here.state(message) == "delivered"
        assert await here.attempts(message) == ["absent", "accepted"]


async def test_a_process_that_stood_still_after_the_intent_sends_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(settings) as here:
        late = [True]

        def clock() -> float:
            return real() + (60.0 if late and late.pop() else 0.0)

        real = channel.now_seconds
        monkeypatch.setattr(channel, "now_seconds", clock)
        message = await here.writes()
        await here.starts(message)
        await here.until_attempts(message, ["rejected"])
        assert here.meta.posts == 0
        await here.until_attempts(message, ["rejected", "accepted"])
        assert here.meta.posts == 1


async def test_a_process_that_stood_still_between_head_and_body_sends_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(settings) as here:
        pauses = [60.0, 0.0]

        def clock() -> float:
            return real() + (pauses.pop() if pauses else 0.0)

        real = channel.now_seconds
        monkeypatch.setattr(channel, "now_seconds", clock)
        message = await here.writes()
        assert await here.sends(message) == "accepted"
        assert await here.attempts(message) == ["rejected", "accepted"]
        assert len(here.meta.accepted) == 1


async def test_what_became_of_a_send_is_recorded_although_it_was_cancelled(
    settings: Settings,
) -> None:
    async with desk(settings, send_timeout_seconds=1.4) as here:
        answer = asyncio.Event()
        here.meta.answers_after(answer)
        message = await here.writes()
        invocation = await here.starts(message)
        await here.until_accepted(1)
        await here.platform.invocations.cancel(invocation, actor="test")
        assert (await here.platform.end_of(invocation)).state == "cancelled"
        assert await here.attempts(message) == ["intent"]
        answer.set()
        await here.until_attempts(message, ["accepted"])
        assert await here.state(message) == "accepted"
