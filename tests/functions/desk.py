"""A shop with a number, and a person who wrote: what tests of sending begin with."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from functions.channels.client import aclose
from functions.channels.token import attempt_of
from functions.message_send import MessageSend, message_send
from runtime.settings import Settings
from state.credentials import put_credential
from state.database import Connection, Database
from state.keyring import KeyRing
from state.outbound import decide_by_status, queue
from state.shops import open_shop
from tests.providers.meta import Meta, Taken, standing_in
from tests.runtime.harness import Platform, working

NUMBER = "106540352242922"
PERSON = "5491155550000"
ACCESS_TOKEN = "EAAG-canary-token"

QUICK = {
    "send_guard_seconds": 0.5,
    "send_timeout_seconds": 0.4,
    "send_evidence_seconds": 2.0,
    "send_patience_seconds": 20.0,
}


@dataclass
class Desk:
    """Queues messages, sends them with a real worker, and sees what became of them."""

    platform: Platform
    meta: Meta
    settings: Settings
    tenant: int
    channel_id: int
    conversation_id: int
    queued: int = 0

    async def writes(
        self, body: str = "Hola", *, author: str = "agent", class_: str = "reply"
    ) -> int:
        """Queue a message; returns its id."""
        self.queued += 1
        async with self.platform.database.tenant(self.tenant) as connection:
            found = await queue(
                connection,
                self.tenant,
                self.conversation_id,
                author=author,
                cause_key=f"test:{self.queued}",
                body=body,
                class_=class_,
            )
        assert found is not None
        return found

    async def starts(self, message_id: int) -> int:
        """Dispatch the sending of a message; returns the invocation."""
        event = MessageSend(conversation_id=self.conversation_id, message_id=message_id)
        receipt = await self.platform.dispatcher.dispatch(event, wait=True, tenant=self.tenant)
        return receipt.id

    async def sends(self, message_id: int) -> str:
        """Send a message to the end; returns its state."""
        outcome = await self.platform.end_of(await self.starts(message_id))
        assert outcome.state == "done", outcome
        return await self.state(message_id)

    async def state(self, message_id: int) -> str:
        return str(await self.value("SELECT state FROM message WHERE message_id = $1", message_id))

    async def problem(self, message_id: int) -> str | None:
        found: str | None = await self.value(
            "SELECT problem FROM message WHERE message_id = $1", message_id
        )
        return found

    async def attempts(self, message_id: int) -> list[str]:
        """Return the states of a message's attempts, in their order."""
        async with self.platform.database.engine() as connection:
            rows = await connection.fetch(
                "SELECT state FROM send_attempt WHERE message_id = $1 ORDER BY started_at",
                message_id,
            )
        return [row["state"] for row in rows]

    async def alerts(self) -> list[str]:
        async with self.platform.database.engine() as connection:
            rows = await connection.fetch("SELECT kind FROM alert ORDER BY alert_id")
        return [row["kind"] for row in rows]

    async def until_attempts(self, message_id: int, states: list[str]) -> None:
        """Wait until the attempts of a message are so."""
        async with asyncio.timeout(15):
            while await self.attempts(message_id) != states:
                await asyncio.sleep(0.02)

    async def until_snoozed(self, least_seconds: float) -> float:
        """Wait until the lane sleeps for longer than that; returns how long."""
        async with asyncio.timeout(15):
            while True:
                found: float | None = await self.value(
                    "SELECT max(extract(epoch FROM run_at - clock_timestamp()))::float8 FROM lane"
                )
                if found is not None and found > least_seconds:
                    return found
                await asyncio.sleep(0.02)

    async def wakes(self) -> None:
        """End the sleep of every lane."""
        await self.value("UPDATE work SET run_at = clock_timestamp() RETURNING 1")
        await self.value("UPDATE lane SET run_at = clock_timestamp() RETURNING 1")

    async def looks(self) -> int:
        """Return how often lanes were handed out so far."""
        return int(await self.value("SELECT coalesce(sum(epoch), 0)::bigint FROM lane"))

    async def until_looked(self, before: int, times: int = 2) -> None:
        """Wait until a sender has looked again, and for the whole of that look."""
        async with asyncio.timeout(15):
            while await self.looks() < before + times:
                await asyncio.sleep(0.02)

    async def until_posts(self, count: int) -> None:
        """Wait until so many requests reached the stand-in."""
        async with asyncio.timeout(15):
            while self.meta.posts < count:
                await asyncio.sleep(0.01)

    async def until_accepted(self, count: int) -> None:
        """Wait until the stand-in has accepted so many."""
        async with asyncio.timeout(15):
            while len(self.meta.accepted) < count:
                await asyncio.sleep(0.01)

    async def told(self, taken: Taken, status: str, code: int | None = None) -> bool:
        """Take in a status of a message, as webhook_intake does."""
        async with self.platform.database.tenant(self.tenant) as connection:
            return await decide_by_status(
                connection,
                self.tenant,
                wamid=taken.wamid,
                attempt=attempt_of(self.settings.encryption_key, taken.callback),
                status=status,
                code=code,
            )

    async def time_passes(self, seconds: float, *, doors_open: bool = True) -> None:
        """Make every open attempt older; the intake clock counts it when the doors were open."""
        await self.value(
            "WITH aged AS (UPDATE send_attempt SET started_at = started_at"
            " - make_interval(secs => $1) WHERE state = 'intent'), ticked AS (UPDATE intake_clock"
            " SET ticks = ticks + $2::bigint) SELECT 1",
            float(seconds),
            int(seconds) if doors_open else 0,
        )

    async def later_send_is_told_of(self) -> None:
        """A status comes for a send of this number that begins now."""
        await self.value(
            "INSERT INTO status_watermark VALUES ($1, $2, clock_timestamp())"
            " ON CONFLICT (channel_id) DO UPDATE SET seen_for = clock_timestamp() RETURNING 1",
            self.tenant,
            self.channel_id,
        )

    async def set(self, table: str, **values: object) -> None:
        """Change columns of the conversation, channel, contact or shop."""
        columns = ", ".join(f"{name} = ${place}" for place, name in enumerate(values, 1))
        await self.value(
            f"UPDATE {table} SET {columns} WHERE tenant > 0 RETURNING 1", *values.values()
        )

    async def value(self, statement: str, *arguments: object) -> Any:
        return await self.platform.value(statement, *arguments)


@asynccontextmanager
async def desk(settings: Settings, **changes: Any) -> AsyncIterator[Desk]:
    """Open a desk with a worker and a stand-in of Meta."""
    async with standing_in(Meta(access_token=ACCESS_TOKEN)) as meta:
        settings = settings.model_copy(update={"graph_api_url": meta.url, **QUICK, **changes})
        async with working(settings, [message_send]) as platform:
            shop = await open_shop(platform.database, "demo")
            async with platform.database.tenant(shop.tenant) as connection:
                channel_id, conversation_id = await furnish(connection, shop.tenant, settings)
            try:
                yield Desk(platform, meta, settings, shop.tenant, channel_id, conversation_id)
            finally:
                await aclose()


async def furnish(
    connection: Connection, tenant: int, settings: Settings, kind: str = "cloud_api"
) -> tuple[int, int]:
    """Make a channel with its access token, and a conversation whose window is open."""
    channel_id = await connection.fetchval(
        "INSERT INTO channel (tenant, kind, app, address, display) VALUES ($1, $2, 'main', $3, $3)"
        " RETURNING channel_id",
        tenant,
        kind,
        NUMBER,
    )
    assert settings.encryption_key is not None
    ring = KeyRing.parse(settings.encryption_key.get_secret_value())
    await put_credential(
        connection, ring, tenant=tenant, purpose="whatsapp", name=NUMBER, secret=ACCESS_TOKEN
    )
    return channel_id, await conversation(connection, tenant, channel_id, PERSON)


async def conversation(
    connection: Connection, tenant: int, channel_id: int, address: str, kind: str = "phone"
) -> int:
    """Make a contact who just wrote, and the conversation."""
    found: int = await connection.fetchval(
        "WITH one AS (INSERT INTO contact (tenant) VALUES ($1) RETURNING contact_id)"
        " INSERT INTO conversation (tenant, channel_id, contact_id, address_kind, address,"
        " window_until) SELECT $1, $2, contact_id, $4, $3, clock_timestamp() + interval '1 day'"
        " FROM one RETURNING conversation_id",
        tenant,
        channel_id,
        address,
        kind,
    )
    return found


async def open_attempt(database: Database, attempt: UUID) -> bool:
    """Say whether an attempt is undecided."""
    async with database.engine() as connection:
        return bool(
            await connection.fetchval(
                "SELECT state = 'intent' FROM send_attempt WHERE attempt_id = $1", attempt
            )
        )
