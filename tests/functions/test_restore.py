"""After a restore no message goes out again that the lost life may have sent, and none is lost."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from pydantic import SecretStr

from functions.agent_run import AgentRun
from functions.channels.client import aclose
from functions.message_send import MessageSend
from runtime import Context, Event, Retry, function
from runtime.function import Function
from runtime.registry import Registry, load_registry
from runtime.settings import Settings
from state.attempts import begin_attempt
from state.inbound import Written, take_messages
from state.outbound import decide_by_status, queue
from state.shops import open_shop
from tests.backups import back_up, bring_back
from tests.functions.desk import ACCESS_TOKEN, NUMBER, PERSON, QUICK, conversation, furnish
from tests.providers.meta import Meta, standing_in
from tests.providers.webhooks import envelope
from tests.runtime.harness import Platform, platform, working

APP = "main"
OWED = "SELECT count(*) FROM work WHERE run_at < clock_timestamp() + interval '10 seconds'"
ASKED_BEFORE, BEING_READ, ASKED_AFTER, ASKED_LATER = (f"549115555000{n}" for n in range(1, 5))


@dataclass
class Life:
    """One installation with a shop: from its start to its end."""

    platform: Platform
    tenant: int

    async def posts(self, phone: str, *, wamid: str, ago: float = 5) -> None:
        """WhatsApp posts what somebody wrote."""
        written = {
            "from": phone,
            "id": wamid,
            "timestamp": str(int(time.time() - ago)),
            "type": "text",
            "text": {"body": "hola, ¿tenés zapatillas?"},
        }
        body = json.dumps(envelope(NUMBER, messages=[written])).encode()
        await self.platform.dispatcher.intake.take("webhook_intake", APP, None, body)

    async def queues(self, conversation_id: int, cause: str) -> int:
        """A person writes an answer; returns the message."""
        async with self.platform.database.tenant(self.tenant) as connection:
            found = await queue(
                connection,
                self.tenant,
                conversation_id,
                author="person",
                cause_key=cause,
                body="Sí",
            )
        assert found is not None
        event = MessageSend(conversation_id=conversation_id, message_id=found)
        await self.platform.dispatcher.dispatch(event, tenant=self.tenant)
        return found

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        async with self.platform.database.engine() as connection:
            return [tuple(row) for row in await connection.fetch(statement)]

    async def state(self, message: int) -> str:
        return str(
            await self.platform.value("SELECT state FROM message WHERE message_id = $1", message)
        )

    async def holder(self, phone: str) -> str:
        return str(
            await self.platform.value("SELECT holder FROM conversation WHERE address = $1", phone)
        )

    async def until_accepted(self, meta: Meta, count: int) -> None:
        async with asyncio.timeout(20):
            while len(meta.accepted) < count:
                await asyncio.sleep(0.02)


def settings_of(settings: Settings, meta: Meta, dsn: str | None = None) -> Settings:
    changes: dict[str, Any] = {**QUICK, "graph_api_url": meta.url, "quiet_seconds": 0.0}
    if dsn is not None:
        changes["postgres_dsn"] = SecretStr(dsn)
    return settings.model_copy(update=changes)


@asynccontextmanager
async def at_work(
    settings: Settings, tenant: int, more: Sequence[Function[Any]] = ()
) -> AsyncIterator[Life]:
    """Run a worker with every function of ours."""
    async with working(settings, [*load_registry("functions"), *more]) as found:
        yield Life(found, tenant)


async def test_nothing_that_was_accepted_is_sent_again(
    settings: Settings, empty_dsn: str, tmp_path: Path
) -> None:
    file = tmp_path / "a.backup"
    assert settings.postgres_dsn is not None
    async with standing_in(Meta(access_token=ACCESS_TOKEN)) as meta:
        first, second = settings_of(settings, meta), settings_of(settings, meta, empty_dsn)
        async with platform(first, load_registry("functions")) as idle:
            life = Life(idle, (await open_shop(idle.database, "uno")).tenant)
            pending, sending, attempt = await owing(life, first)
        await back_up(settings.postgres_dsn.get_secret_value(), file)

        async with at_work(first, life.tenant) as lost:
            await lost.posts(ASKED_AFTER, wamid="w.after")
            await lost.until_accepted(meta, 4)
        sent = [taken.to for taken in meta.accepted]
        assert sorted(sent) == sorted([PERSON, ASKED_BEFORE, BEING_READ, ASKED_AFTER])

        restored = await bring_back(file, empty_dsn)

        assert (restored.aftermath.messages, restored.aftermath.conversations) == (2, 1)
        async with at_work(second, life.tenant) as life:
            for phone, wamid in (
                (ASKED_BEFORE, "w.before"),
                (BEING_READ, "w.read"),
                (ASKED_AFTER, "w.after"),
            ):
                await life.posts(phone, wamid=wamid)  # WhatsApp was not sure that we have them
            await life.platform.zero(OWED)
            assert [taken.to for taken in meta.accepted] == sent

            # Nothing is lost silently: people see all of it.
            assert [await life.state(one) for one in (pending, sending)] == ["unknown", "unknown"]
            for phone in (ASKED_BEFORE, BEING_READ, ASKED_AFTER):
                assert await life.holder(phone) == "person", phone
            waiting = "SELECT wamid FROM message WHERE direction = 'in' AND turn IS NULL"
            assert {row[0] for row in await life.rows(waiting)} == {"w.before", "w.read", "w.after"}
            alerts = await life.rows("SELECT kind, subject FROM alert ORDER BY kind, subject")
            assert alerts == [
                ("restored", life.tenant),
                ("send_unknown", pending),
                ("send_unknown", sending),
            ]

            # What becomes known of an earlier send still counts, and life goes on.
            async with life.platform.database.tenant(life.tenant) as connection:
                assert await decide_by_status(
                    connection, life.tenant, wamid="w.out", attempt=attempt, status="delivered"
                )
            assert await life.state(sending) == "delivered"
            await life.posts(ASKED_LATER, wamid="w.later", ago=-2)
            await life.until_accepted(meta, 5)
            assert meta.accepted[-1].to == ASKED_LATER
        assert meta.refused == []
    await aclose()


async def owing(life: Life, settings: Settings) -> tuple[int, int, UUID]:
    """Leave everything owed that a message can leave: nobody works yet.

    Returns an answer that waits, one whose send has begun, and that attempt.
    """
    tenant, database = life.tenant, life.platform.database
    async with database.tenant(tenant) as connection:
        channel, owed = await furnish(connection, tenant, settings)
        begun = await conversation(connection, tenant, channel, "5491155550009")
        asked = Written(channel, ASKED_BEFORE, None, "Ana", "w.before", "text", "hola", {}, None)
        (taken,) = await take_messages(connection, tenant, [asked])
    await life.platform.dispatcher.dispatch(
        AgentRun(conversation_id=taken.conversation_id), tenant=tenant
    )
    await life.posts(BEING_READ, wamid="w.read")
    pending, sending = await life.queues(owed, "test:1"), await life.queues(begun, "test:2")
    attempt = uuid4()
    async with database.tenant(tenant) as connection:
        await begin_attempt(connection, tenant, sending, attempt, 1)
    return pending, sending, attempt


class Order(Event):
    """Write something outside."""

    number: int


async def test_a_writing_step_that_a_lost_life_may_have_made_is_not_made_blindly(
    settings: Settings, empty_dsn: str, tmp_path: Path
) -> None:
    written: list[str] = []

    async def write() -> str:
        written.append("wrote")
        return "wrote"

    async def look_up() -> str:
        written.append("looked")
        return "found"

    @function(retry=Retry(attempts=1))
    async def order(event: Order, ctx: Context) -> str:
        await ctx.step("read", write)
        resolve = look_up if event.number == 2 else None
        return str(await ctx.step("write", write, writes=True, resolve=resolve))

    registry = Registry([order], [])
    assert settings.postgres_dsn is not None
    async with platform(settings, registry) as idle:
        owed = [(await idle.dispatcher.dispatch(Order(number=n))).id for n in (1, 2)]
    await back_up(settings.postgres_dsn.get_secret_value(), tmp_path / "a.backup")
    await bring_back(tmp_path / "a.backup", empty_dsn)

    again = settings.model_copy(update={"postgres_dsn": SecretStr(empty_dsn)})
    async with working(again, [order]) as found:
        blind, looked = [await found.end_of(number) for number in owed]
        assert (blind.state, looked.state) == ("dead", "done")
        assert "nobody can say whether it happened" in str(blind.error)
        assert looked.result == '"found"'
        assert sorted(written) == ["looked", "wrote", "wrote"]  # both read
        assert (await found.run(Order(number=3))).state == "done"  # of the new life
