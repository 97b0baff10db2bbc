"""One turn of the agent, against a model that can be told what to say."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from functions.agent_run import AgentRun, agent_run
from functions.agents import loop
from functions.message_send import message_send
from functions.vectors_rebuild import vectors_rebuild
from runtime.function import Function
from runtime.settings import OPENAI, Settings
from state.agents import forget_model_key, profiles, put_model_key, set_agent
from state.budgets import accounts
from state.channels import open_phone
from state.conversations import give_to_agent, hand_to_person, take_floor
from state.credentials import put_credential
from state.inbound import Written, take_messages
from state.keyring import KeyRing
from state.messages import Message, history
from state.passages import Piece, replace_passages
from state.shops import Shop, open_shop
from state.sources import DOCUMENT, give_source
from state.turns import Turn, turns_of
from tests.providers.model import Model, delta, standing_in
from tests.runtime.harness import Platform, working

ANA = "5493415550100"


@dataclass
class Desk:
    """A shop whose agent asks the stand-in."""

    platform: Platform
    model: Model
    shop: Shop
    written: int = 0

    async def writes(
        self, text: str | None, *, phone: str = ANA, kind: str = "text", ago: float = 0
    ) -> int:
        """A shopper writes; returns the conversation."""
        self.written += 1
        at = datetime.now(UTC) - timedelta(seconds=ago)
        async with self.platform.database.tenant(self.shop.tenant) as connection:
            channel = await open_phone(connection, self.shop)
            wamid = f"w{self.shop.tenant}.{self.written}"
            one = Written(channel.channel_id, phone, None, "Ana", wamid, kind, text, {}, at)
            (taken,) = await take_messages(connection, self.shop.tenant, [one])
        return taken.conversation_id

    async def runs(self, conversation: int) -> str | None:
        """The agent has its turn; returns how it ended."""
        event = AgentRun(conversation_id=conversation)
        outcome = await self.platform.run(event, tenant=self.shop.tenant, seconds=30)
        return outcome.result if outcome.state == "done" else outcome.state

    async def said(self, conversation: int) -> list[Message]:
        """What the agent said, oldest first."""
        async with self.platform.database.tenant(self.shop.tenant) as connection:
            thread = await history(connection, self.shop.tenant, conversation, 100)
        return [one for one in thread if one.author == "agent"]

    async def turns(self, conversation: int) -> list[Turn]:
        async with self.platform.database.tenant(self.shop.tenant) as connection:
            return await turns_of(connection, self.shop.tenant, conversation)

    async def person(self, conversation: int, *, holds: bool) -> None:
        async with self.platform.database.tenant(self.shop.tenant) as connection:
            if holds:
                await hand_to_person(connection, self.shop.tenant, conversation, "I answer")
            else:
                await give_to_agent(connection, self.shop.tenant, conversation)

    def shown(self, call: int = -1) -> list[dict[str, Any]]:
        """The messages that a model call was given."""
        messages: list[dict[str, Any]] = self.model.asked[call]["messages"]
        return messages


@asynccontextmanager
async def furnished(settings: Settings, **changes: Any) -> AsyncIterator[Desk]:
    async with standing_in() as model:
        known = {"openai_base_url": model.url, "chroma_url": None, **changes}
        ours = settings.model_copy(update=known)
        functions: list[Function[Any]] = [agent_run, message_send, vectors_rebuild]
        async with working(ours, functions) as platform:
            yield Desk(platform, model, await open_shop(platform.database, "uno"))


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with furnished(settings) as found:
        yield found


async def test_several_messages_are_one_turn_and_one_reply(desk: Desk) -> None:
    conversation = 0
    for number in range(5):
        conversation = await desk.writes(f"mensaje #{number}", ago=5 - number)
    assert await desk.runs(conversation) == '"replied"'
    assert await desk.runs(conversation) == '"nothing to answer"'

    (reply,) = await desk.said(conversation)
    assert reply.body == "ok #0 #1 #2 #3 #4"
    assert len(desk.model.asked) == 1


async def test_quick_messages_prolong_the_wait_and_run_once(desk: Desk) -> None:
    ids = []
    for number in range(5):
        conversation = await desk.writes(f"#{number}")
        event = AgentRun(conversation_id=conversation)
        receipt = await desk.platform.dispatcher.dispatch(
            event, tenant=desk.shop.tenant, delay_seconds=0.4
        )
        ids.append(receipt.id)
        await asyncio.sleep(0.05)
    for one in ids:
        await desk.platform.end_of(one)

    (reply,) = await desk.said(conversation)
    assert reply.body == "ok #0 #1 #2 #3 #4"
    assert len(await desk.turns(conversation)) == 1


async def test_a_turn_that_needs_a_sealed_key_waits_until_the_key_is_back(desk: Desk) -> None:
    ring, shop = KeyRing.parse(Fernet.generate_key().decode()), desk.shop.tenant
    async with desk.platform.database.tenant(shop) as connection:
        await put_credential(
            connection, ring, tenant=shop, purpose="openai", name="key", secret="sk-lost"
        )
    conversation = await desk.writes("hola #1")
    event = AgentRun(conversation_id=conversation)
    receipt = await desk.platform.dispatcher.dispatch(event, tenant=shop)
    async with asyncio.timeout(10), desk.platform.database.engine() as connection:
        while not await connection.fetchval("SELECT message FROM alert WHERE kind = 'model'"):
            await asyncio.sleep(0.02)
        assert await desk.said(conversation) == []
        # The key is back: here, the shop's own is taken away.
        await connection.execute("DELETE FROM credential")
        while not await connection.fetchval(
            "UPDATE work SET run_at = now() WHERE id = $1 AND run_at > now() RETURNING true",
            receipt.id,
        ):
            await asyncio.sleep(0.02)
        await connection.execute("UPDATE lane SET run_at = now() WHERE run_at > now()")
    await desk.platform.end_of(receipt.id)
    assert [one.body for one in await desk.said(conversation)] == ["ok #1"]


async def test_the_model_sees_the_newest_of_a_long_conversation(desk: Desk) -> None:
    for number in range(40):
        conversation = await desk.writes(f"viejo #{number}", ago=1000 - number)
    await desk.runs(conversation)
    await desk.writes("¿y ahora? #99")
    await desk.runs(conversation)

    shown = " ".join(str(one["content"]) for one in desk.shown())
    assert "viejo #39" in shown
    assert "viejo #0 " not in shown
    assert (await desk.said(conversation))[-1].body == "ok #99"


async def test_a_photo_without_words_is_answered(desk: Desk) -> None:
    conversation = await desk.writes(None, kind="image")
    desk.model.says("¡Linda foto! ¿Qué buscás?")
    assert await desk.runs(conversation) == '"replied"'
    assert desk.shown()[-1] == {"role": "user", "content": "[photo]"}


async def test_two_shops_with_the_same_shopper_share_nothing(desk: Desk) -> None:
    other = Desk(desk.platform, desk.model, await open_shop(desk.platform.database, "dos"))
    await desk.runs(await desk.writes("soy de la uno #1"))
    await other.runs(await other.writes("soy de la dos #2"))
    assert "uno" not in " ".join(str(one["content"]) for one in desk.shown()[1:])


async def test_the_model_sees_one_shopper_alone(desk: Desk) -> None:
    await desk.runs(await desk.writes("mi pedido es el AB-7701, calle Falsa 123"))
    desk.model.calls(("search_knowledge", {"query": "pedido AB-7701 de " + ANA}))
    desk.model.says("No lo sé.")
    await desk.runs(await desk.writes("¿dónde va el pedido AB-7701?", phone="5493415550200"))

    shown = " ".join(str(one["content"]) for one in desk.shown())
    assert "AB-7701" in shown  # what this one wrote
    assert "Falsa" not in shown
    assert ANA not in shown


# A person holds the conversation: nothing of the agent goes out any more.


async def test_nothing_is_asked_while_a_person_holds_it(desk: Desk) -> None:
    conversation = await desk.writes("hola")
    await desk.person(conversation, holds=True)
    assert await desk.runs(conversation) == '"silent"'
    assert desk.model.asked == []

    await desk.person(conversation, holds=False)
    assert await desk.runs(conversation) == '"replied"'


async def test_a_person_who_takes_over_while_the_model_thinks_has_the_last_word(
    desk: Desk,
) -> None:
    conversation = await desk.writes("hola")
    thinking, go_on = desk.model.thinks()
    running = asyncio.create_task(desk.runs(conversation))
    await thinking.wait()
    await desk.person(conversation, holds=True)
    go_on.set()

    assert await running == '"silent"'
    assert await desk.said(conversation) == []
    (turn,) = await desk.turns(conversation)
    assert (turn.outcome, turn.rounds) == ("silent", 1)


async def test_the_switch_silences_every_agent(settings: Settings) -> None:
    async with furnished(settings, agents_enabled=False) as desk:
        conversation = await desk.writes("hola")
        assert await desk.runs(conversation) == '"silent"'
        assert desk.model.asked == []
        (turn,) = await desk.turns(conversation)
        assert "NEXUS_V3_ENABLED" in (turn.reason or "")


async def test_its_last_words_reach_the_shopper_as_it_hands_over(desk: Desk) -> None:
    conversation = await desk.writes("quiero una persona")
    desk.model.calls(("hand_over", {"reason": "asked for a person", "summary": "wants help"}))
    desk.model.says("Te paso con alguien del equipo.")
    assert await desk.runs(conversation) == '"handed_over"'

    (words,) = await desk.said(conversation)
    async with asyncio.timeout(10):
        while (await desk.said(conversation))[0].state != "delivered":
            await asyncio.sleep(0.02)
    assert "persona" in (words.body or "")
    assert len(desk.model.asked) == 1


# What goes wrong.


async def test_a_repeated_attempt_pays_for_no_answer_again(desk: Desk) -> None:
    conversation = await desk.writes("hola #1")
    desk.model.calls(("search_products", {"query": "zapatillas"}))
    desk.model.fails(500, "server_error")
    assert await desk.runs(conversation) == '"replied"'

    assert len(desk.model.asked) == 2  # the tool call once, the answer once
    assert [one["role"] for one in desk.shown()[-2:]] == ["assistant", "tool"]


@pytest.mark.parametrize("more", ["", "y #2"])
async def test_an_answer_that_was_paid_for_answers_only_what_it_was_asked(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, more: str
) -> None:
    conversation = await desk.writes("hola #1")
    left = iter([RuntimeError("the worker dies here")])

    async def interrupted(*given: Any) -> Any:
        for trouble in left:
            if more:
                await desk.writes(more)
            raise trouble
        return await take_floor(*given)

    monkeypatch.setattr("functions.agent_run.take_floor", interrupted)
    assert await desk.runs(conversation) == '"replied"'

    (reply,) = await desk.said(conversation)
    assert reply.body == ("ok #1 #2" if more else "ok #1")
    assert len(desk.model.asked) == (2 if more else 1)


@pytest.mark.parametrize("trouble", ["500", "cut", "page", "error inside"])
async def test_a_model_that_stays_away_means_a_person(desk: Desk, trouble: str) -> None:
    conversation = await desk.writes("hola")
    for _ in range(3):
        match trouble:
            case "500":
                desk.model.fails(500, "server_error")
            case "cut":
                desk.model.streams(delta(content="Hol"))
            case "page":
                desk.model.answers_a_page()
            case _:
                desk.model.streams({"error": {"message": "overloaded", "type": "server"}})
    assert await desk.runs(conversation) == '"handed_over"'
    (words,) = await desk.said(conversation)
    assert "persona" in (words.body or "")


@pytest.mark.parametrize(
    ("status", "code", "remedy"),
    [
        (401, "invalid_api_key", "OPENAI_API_KEY"),
        (404, "model_not_found", "OPENAI_MODEL"),
        (429, "insufficient_quota", "credit"),
    ],
)
async def test_a_wrong_configuration_is_an_alert_that_says_what_to_do(
    desk: Desk, status: int, code: str, remedy: str
) -> None:
    conversation = await desk.writes("hola")
    desk.model.fails(status, code)
    assert await desk.runs(conversation) == '"handed_over"'
    alert = await desk.platform.value("SELECT message FROM alert WHERE kind = 'model'")
    assert remedy in alert


async def test_an_invented_price_is_put_right_before_anybody_sees_it(desk: Desk) -> None:
    conversation = await desk.writes("¿cuánto sale?")
    desk.model.says("Sale $ 9.999.")
    desk.model.says("No lo sé, te averiguo.")
    assert await desk.runs(conversation) == '"replied"'

    (reply,) = await desk.said(conversation)
    assert reply.body == "No lo sé, te averiguo."
    assert "9.999" in desk.shown()[-1]["content"]


async def test_who_invents_twice_is_not_heard(desk: Desk) -> None:
    conversation = await desk.writes("¿cuánto sale?")
    desk.model.says("Sale $ 9.999.")
    desk.model.says("Bueno, $ 8.888, con el cupón OFERTA20.")
    assert await desk.runs(conversation) == '"handed_over"'

    (words,) = await desk.said(conversation)
    assert "8.888" not in (words.body or "")
    (turn,) = await desk.turns(conversation)
    assert "OFERTA20" in (turn.reason or "")


async def test_a_fact_that_a_document_states_may_be_said(desk: Desk) -> None:
    async with desk.platform.database.tenant(desk.shop.tenant) as connection:
        tenant = desk.shop.tenant
        source, _ = await give_source(connection, tenant, DOCUMENT, "envios.md", "text/plain", b"x")
        piece = Piece("Envíos", "El envío a Rosario cuesta $ 5.800.")
        await replace_passages(connection, tenant, source.source_id, [piece])
    conversation = await desk.writes("¿cuánto sale el envío a Rosario?")
    desk.model.says("El envío a Rosario sale $ 5.800.")
    assert await desk.runs(conversation) == '"replied"'


async def test_bad_arguments_go_back_to_the_model(desk: Desk) -> None:
    conversation = await desk.writes("hola")
    desk.model.calls(("search_products", "{not json"), ("no_such_tool", {}))
    desk.model.says("¿Qué buscás?")
    assert await desk.runs(conversation) == '"replied"'
    results = [one["content"] for one in desk.shown() if one["role"] == "tool"]
    assert all(one.startswith("error: ") for one in results)
    assert len(results) == 2


async def test_who_only_uses_tools_ends_with_a_person(desk: Desk) -> None:
    conversation = await desk.writes("hola")
    for _ in range(10):
        desk.model.calls(("search_products", {"query": "x"}))
    assert await desk.runs(conversation) == '"handed_over"'
    assert len(desk.model.asked) == 6


# What it may spend.


async def test_a_shops_tokens_of_the_day_are_a_limit(desk: Desk) -> None:
    await tells(desk, tokens_per_day=9000)
    desk.model.uses = (6500, 400)
    first = await desk.writes("hola #1")
    assert await desk.runs(first) == '"replied"'
    second = await desk.writes("hola #2", phone="5493415550200")
    assert await desk.runs(second) == '"handed_over"'
    assert len(desk.model.asked) == 1
    (turn,) = await desk.turns(second)
    assert "9,000 tokens of today" in (turn.reason or "")
    assert await accounts_of(desk) == [("day", 6900, 0, 9000)]


async def test_the_limit_of_a_conversation_spares_the_others(desk: Desk) -> None:
    await tells(desk, tokens_per_conversation=9000)
    desk.model.uses = (6500, 400)
    busy, calm = await desk.writes("hola #1"), await desk.writes("hola #2", phone="5493415550200")
    assert await desk.runs(busy) == '"replied"'
    await desk.writes("¿y? #3")
    assert await desk.runs(busy) == '"handed_over"'
    assert await desk.runs(calm) == '"replied"'
    spent = [("conversation", 6900, 0, 9000)] * 2
    assert await accounts_of(desk) == [("day", 13_800, 0, 5_000_000), *spent]


async def test_a_turn_stops_before_the_call_that_may_be_too_much(desk: Desk) -> None:
    await tells(desk, tokens=9000)
    desk.model.uses = (6500, 400)
    conversation = await desk.writes("hola #1")
    desk.model.calls(("search_products", {"query": "x"}))
    assert await desk.runs(conversation) == '"handed_over"'
    assert len(desk.model.asked) == 1
    (turn,) = await desk.turns(conversation)
    assert "9,000 tokens for one turn" in (turn.reason or "")


async def test_what_a_failed_call_reserved_is_free_when_the_run_ends(desk: Desk) -> None:
    conversation = await desk.writes("hola #1")
    for _ in range(3):
        desk.model.fails(500, "server_error")
    thinking, go_on = desk.model.thinks()
    running = asyncio.create_task(desk.runs(conversation))
    await thinking.wait()
    (day, run) = await accounts_of(desk)
    assert day[2] == run[2] > 0
    go_on.set()
    assert await running == '"handed_over"'
    assert await accounts_of(desk) == [("day", 0, 0, 5_000_000)]


# What its provider lets in.


async def test_a_turn_goes_on_after_the_pause_that_the_model_wanted(desk: Desk) -> None:
    conversation = await desk.writes("hola #1")
    desk.model.calls(("search_products", {"query": "x"}))
    for _ in range(4):  # more than a turn may fail
        desk.model.fails(429, "rate_limit_exceeded", retry_after_ms="260")
    desk.model.says("¿Qué buscás?")
    assert await desk.runs(conversation) == '"replied"'
    assert [one.body for one in await desk.said(conversation)] == ["¿Qué buscás?"]
    assert len(desk.model.asked) == 2, "the tool call was a step: it is not repeated"
    failures = "SELECT count(*) FROM failure"
    assert await desk.platform.value(failures) == 0
    assert await accounts_of(desk) == [("day", 50, 0, 5_000_000)]


async def test_a_pause_beyond_a_turns_time_becomes_a_persons_at_once(
    settings: Settings,
) -> None:
    async with furnished(settings, openai_api_key=SecretStr("sk-ours")) as desk:
        other = Desk(desk.platform, desk.model, await open_shop(desk.platform.database, "dos"))
        await has_key(other, settings, "sk-of-dos")
        first = await desk.writes("hola #1")
        second = await desk.writes("hola #2", phone="5493415550200")
        desk.model.fails(429, "rate_limit_exceeded", retry_after="600")
        assert await desk.runs(first) == '"handed_over"'
        assert await desk.runs(second) == '"handed_over"'
        assert desk.model.requests == 1, "the second one was not asked"
        (turn,) = await desk.turns(second)
        assert "no room" in (turn.reason or "")
        # The same server under another key is another provider.
        assert await other.runs(await other.writes("hola #3")) == '"replied"'


async def test_an_empty_account_is_no_pause(desk: Desk) -> None:
    desk.model.fails(429, "insufficient_quota", retry_after="600")
    assert await desk.runs(await desk.writes("hola #1")) == '"handed_over"'
    assert await desk.runs(await desk.writes("hola #2", phone="5493415550200")) == '"replied"'


async def test_the_accounts_tokens_of_a_minute_are_a_limit(settings: Settings) -> None:
    async with furnished(settings, openai_tokens_per_minute=1000) as desk:
        await tells(desk, seconds=100)
        assert await desk.runs(await desk.writes("hola #1")) == '"replied"'
        # 25 tokens were taken: what more was reserved for them is free again.
        at = "SELECT extract(epoch FROM tokens_at - clock_timestamp())::float8 FROM provider"
        assert await desk.platform.value(at) <= 25 * 60 / 950
        await desk.platform.value("UPDATE provider SET tokens_at = now() + '10 min' RETURNING 1")
        second = await desk.writes("hola #2", phone="5493415550200")
        assert await desk.runs(second) == '"handed_over"'
        assert desk.model.requests == 1


async def accounts_of(desk: Desk) -> list[tuple[str, int, int, int]]:
    """What became of budgets: scope, spent, reserved, limit."""
    async with desk.platform.database.engine() as connection:
        found = await accounts(connection, desk.shop.tenant)
    return [(one.scope, one.spent, one.reserved, one.most) for one in found]


async def tells(desk: Desk, **values: str | int | None) -> None:
    """The shop says how its agent works."""
    async with desk.platform.database.engine() as connection, connection.transaction():
        await set_agent(connection, desk.shop.tenant, values, actor="test")


async def has_key(desk: Desk, settings: Settings, key: str) -> None:
    assert settings.encryption_key is not None
    ring = KeyRing.parse(settings.encryption_key.get_secret_value())
    async with desk.platform.database.engine() as connection, connection.transaction():
        await put_model_key(connection, ring, desk.shop.tenant, key, actor="test")


async def test_a_turn_says_what_it_cost(desk: Desk) -> None:
    conversation = await desk.writes("hola #1")
    desk.model.calls(("search_products", {"query": "x"}))
    await desk.runs(conversation)
    (turn,) = await desk.turns(conversation)
    assert (turn.rounds, turn.input_tokens, turn.output_tokens) == (2, 40, 10)
    assert turn.model == "gpt-5.4-mini"


# Whose model, and whose key.


async def test_a_shops_own_key_and_model_are_used_for_it_alone(settings: Settings) -> None:
    ours = SecretStr("sk-ours")
    async with furnished(settings, openai_api_key=ours) as desk:
        await has_key(desk, settings, "sk-of-uno")
        await tells(desk, model="reasoner-9", name="Lola", instructions="Ofrecé el club Pampa.")
        other = Desk(desk.platform, desk.model, await open_shop(desk.platform.database, "dos"))
        conversation = await desk.writes("hola #1")
        await desk.runs(conversation)
        await other.runs(await other.writes("hola #2"))
        assert desk.model.keys == ["Bearer sk-of-uno", "Bearer sk-ours"]
        assert [one["model"] for one in desk.model.asked] == ["reasoner-9", settings.openai_model]
        told = desk.shown(0)[0]["content"]
        assert "Lola" in told
        assert "club Pampa" in told
        (turn,) = await desk.turns(conversation)
        assert turn.model == "reasoner-9"

        async with desk.platform.database.engine() as connection, connection.transaction():
            assert await forget_model_key(connection, desk.shop.tenant, actor="test")
            assert not await forget_model_key(connection, desk.shop.tenant, actor="test")
            audit = await connection.fetch("SELECT action, detail::text FROM audit_log")
        await tells(desk, model=None)
        await desk.runs(await desk.writes("hola #3"))
        assert desk.model.keys[-1] == "Bearer sk-ours"
        assert desk.model.asked[-1]["model"] == settings.openai_model
        written = " ".join(map(str, audit))
        assert "agent.key.set" in written
        assert "agent.key.remove" in written
        assert "sk-of-uno" not in written
        assert "club Pampa" not in written


async def test_a_shops_own_server_never_gets_our_key(settings: Settings) -> None:
    ours = SecretStr("sk-ours")
    async with furnished(settings, openai_api_key=ours) as desk, standing_in() as theirs:
        await tells(desk, base_url=theirs.url)
        await desk.runs(await desk.writes("hola #1"))
        await has_key(desk, settings, "sk-of-uno")
        await desk.runs(await desk.writes("hola #2"))
        assert desk.model.asked == []
        assert theirs.keys == ["Bearer none", "Bearer sk-of-uno"]


async def test_without_a_key_the_demo_model_talks_to_nobody_who_really_shops(
    settings: Settings,
) -> None:
    async with furnished(settings, openai_base_url=OPENAI) as desk:
        conversation = await desk.writes("hola")
        await desk.platform.value("UPDATE channel SET kind = 'cloud_api' RETURNING 1")
        assert await desk.runs(conversation) == '"handed_over"'
        (words,) = await desk.said(conversation)
        alert = await desk.platform.value("SELECT message FROM alert WHERE kind = 'model'")
        assert "demostración" not in (words.body or "")
        assert "persona" in (words.body or "")
        assert "nexus agents set" in alert


# How long a turn may take.


class Clock:
    """Time as the loop sees it: it passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(loop, "time", found)
    return found


async def test_a_model_that_thinks_for_two_minutes_is_waited_for(desk: Desk, clock: Clock) -> None:
    conversation = await desk.writes("hola #1")
    thinking, go_on = desk.model.thinks()
    running = asyncio.create_task(desk.runs(conversation))
    await thinking.wait()
    clock.now += 120
    go_on.set()
    assert await running == '"replied"'


async def test_a_turn_that_takes_too_long_becomes_a_persons(desk: Desk, clock: Clock) -> None:
    conversation = await desk.writes("hola #1")
    desk.model.calls(("search_products", {"query": "x"}))
    thinking, go_on = desk.model.thinks()
    running = asyncio.create_task(desk.runs(conversation))
    await thinking.wait()
    clock.now += 241
    go_on.set()
    assert await running == '"handed_over"'
    (turn,) = await desk.turns(conversation)
    assert (turn.rounds, turn.reason) == (1, "the agent took longer than 240 s")


async def test_words_that_never_end_are_cut_off_at_the_limit(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 5 s as the loop counts them are a quarter of a second here.
    began = time.monotonic()
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: fast(began)))
    await tells(desk, seconds=5)
    conversation = await desk.writes("hola #1")
    desk.model.trickles()
    assert await desk.runs(conversation) == '"handed_over"'
    (turn,) = await desk.turns(conversation)
    assert turn.reason == "the agent took longer than 5 s"


def fast(began: float) -> float:
    return began + (time.monotonic() - began) * 20


async def test_only_shops_that_never_chose_get_the_longer_time(desk: Desk) -> None:
    async with desk.platform.database.engine() as connection:
        (profile,) = await profiles(connection, desk.shop.tenant)
    await tells(desk, seconds=30)
    await tells(desk, name="Lola")
    async with desk.platform.database.engine() as connection:
        (changed,) = await profiles(connection, desk.shop.tenant)
    assert (profile.seconds, changed.seconds) == (240, 30)
