"""The intake clock counts the seconds in which a status could have reached us, and no others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import httpx2
import pytest

from gateway.pulse import Pulse, probe_url
from runtime.settings import Settings, load_settings
from state.database import Connection, Database, connect
from state.intake_clock import tick
from state.shops import open_shop
from tests.functions.desk import furnish
from tests.providers.meta import standing_in


class Clock:
    """A pulse that is beaten by hand, and a look at what it counts."""

    def __init__(self, pulse: Pulse, connection: Connection, client: httpx2.AsyncClient) -> None:
        self.pulse, self.connection, self._client = pulse, connection, client

    async def beats(self, times: int = 1) -> None:
        """Beat, each a second after the last."""
        for _ in range(times):
            await self.stands(1)
            await self.pulse.beat(self._client)

    async def stands(self, seconds: float) -> None:
        """Let the clock not have been touched, and every attempt be older, by so much."""
        await self.connection.execute(
            "UPDATE intake_clock SET at = at - make_interval(secs => $1),"
            " gap_at = gap_at - make_interval(secs => $1)",
            seconds,
        )
        await self.connection.execute(
            "UPDATE send_attempt SET started_at = started_at - make_interval(secs => $1)", seconds
        )

    async def send_waits(self) -> None:
        await self.connection.execute(
            "INSERT INTO send_attempt (attempt_id, tenant, message_id, epoch, ticks)"
            " SELECT $1, tenant, message_id, 1, 0 FROM message ORDER BY random() LIMIT 1",
            uuid4(),
        )

    async def ticks(self) -> int:
        return int(await self.connection.fetchval("SELECT ticks FROM intake_clock"))

    async def unread_seconds(self) -> float:
        found = await self.connection.fetchval("SELECT unread_seconds FROM intake_clock")
        return float(found)

    async def gap(self) -> bool:
        return bool(
            await self.connection.fetchval(
                "SELECT k.gap_at > a.started_at FROM intake_clock k, send_attempt a"
            )
        )


@pytest.fixture
async def clock(settings: Settings) -> AsyncIterator[Clock]:
    async with standing_in() as door, opened(settings, f"{door.url}/standing") as found:
        yield found


@asynccontextmanager
async def opened(settings: Settings, door: str) -> AsyncIterator[Clock]:
    assert settings.postgres_dsn is not None
    database = await Database.open(settings.postgres_dsn.get_secret_value(), application="test")
    settings = settings.model_copy(update={"intake_probe_url": door})
    try:
        shop = await open_shop(database, "demo")
        async with database.tenant(shop.tenant) as connection:
            _, conversation = await furnish(connection, shop.tenant, settings)
            await connection.execute(
                "INSERT INTO message (tenant, conversation_id, direction, author, kind, content,"
                " at, class, state)"
                " VALUES ($1, $2, 'out', 'agent', 'text', '{}', now(), 'reply', 'sending')",
                shop.tenant,
                conversation,
            )
        async with httpx2.AsyncClient() as client, database.engine() as connection:
            yield Clock(Pulse(settings, database), connection, client)
    finally:
        await database.aclose()


async def test_it_ticks_once_a_second_while_a_send_waits(clock: Clock) -> None:
    await clock.send_waits()
    await clock.beats(5)
    assert (await clock.ticks(), await clock.gap()) == (5, False)


async def test_nobody_waits_nothing_ticks(clock: Clock) -> None:
    await clock.beats(3)
    assert await clock.ticks() == 0


async def test_an_idle_hour_is_no_gap(clock: Clock) -> None:
    await clock.stands(3600)
    await clock.send_waits()
    await clock.beats(3)
    assert (await clock.ticks(), await clock.gap()) == (3, False)


async def test_a_door_that_closed_while_a_send_waited_is_a_gap(clock: Clock) -> None:
    await clock.send_waits()
    await clock.beats(2)
    await clock.stands(4)
    await clock.beats()
    assert (await clock.ticks(), await clock.gap()) == (3, True)


async def test_a_door_that_was_closed_when_the_send_began_is_a_gap(clock: Clock) -> None:
    await clock.stands(3600)
    await clock.send_waits()
    await clock.stands(4)
    await clock.beats()
    assert await clock.gap()


async def test_a_gap_before_a_send_is_none_of_its_own(clock: Clock) -> None:
    await clock.send_waits()
    await clock.stands(10)
    await clock.beats()
    assert await clock.gap()
    await clock.connection.execute("UPDATE send_attempt SET state = 'rejected'")
    await clock.connection.execute("UPDATE send_attempt SET started_at = clock_timestamp()")
    await clock.connection.execute("UPDATE send_attempt SET state = 'intent'")
    await clock.beats(3)
    assert not await clock.gap()


async def test_several_gateways_tick_no_faster(clock: Clock) -> None:
    await clock.send_waits()
    await clock.beats()
    await asyncio.gather(*(clock.pulse.beat(clock._client) for _ in range(3)))
    assert await clock.ticks() == 1


async def test_an_old_proof_counts_nothing(clock: Clock) -> None:
    await clock.send_waits()
    await clock.stands(1)
    asked = await clock.connection.fetchval("SELECT clock_timestamp() - interval '3 seconds'")
    await tick(clock.connection, asked)
    assert await clock.ticks() == 0


async def test_a_clock_that_was_set_back_counts_again_after_a_gap(clock: Clock) -> None:
    await clock.send_waits()
    await clock.stands(5)
    await clock.connection.execute(
        "UPDATE intake_clock SET at = clock_timestamp() + interval '1 hour'"
    )
    await clock.beats(2)
    assert (await clock.ticks(), await clock.gap()) == (2, True)


async def test_it_says_since_when_a_delivery_waits_to_be_read(clock: Clock) -> None:
    await clock.connection.execute("INSERT INTO function (name) VALUES ('webhook_intake')")
    await clock.connection.execute(
        "INSERT INTO invocation (id, tenant, fn, event, created_at)"
        " SELECT n, 0, fn, '{}', clock_timestamp() - make_interval(secs => 10 * n)"
        " FROM function, generate_series(1, 2) n WHERE name = 'webhook_intake'"
    )
    await clock.connection.execute(
        "INSERT INTO work (id, tenant, fn, run_at) SELECT id, tenant, fn, created_at"
        " FROM invocation"
    )
    await clock.send_waits()
    await clock.beats(6)
    assert (await clock.ticks(), await clock.gap()) == (6, False)
    assert 20 <= await clock.unread_seconds() < 30
    await clock.connection.execute("DELETE FROM work")
    await clock.beats()
    assert await clock.unread_seconds() == 0


async def test_a_door_that_refuses_does_not_count_and_people_are_told(settings: Settings) -> None:
    async with standing_in() as door, opened(settings, f"{door.url}/nowhere") as clock:
        await clock.send_waits()
        await clock.beats(2)
        assert await clock.ticks() == 0
        assert clock.pulse._closed_at is not None
        clock.pulse._closed_at -= 31
        await clock.beats(2)
        told = await clock.connection.fetch("SELECT message FROM alert WHERE kind = 'intake'")
        assert [f"{door.url}/nowhere answers 404" in row["message"] for row in told] == [True]


async def test_a_door_behind_which_nobody_is_does_not_count(settings: Settings) -> None:
    async with opened(settings, "http://127.0.0.1:9/") as clock:
        await clock.send_waits()
        await clock.beats(2)
        assert await clock.ticks() == 0


async def until_ticks(connection: Connection, count: int) -> None:
    async with asyncio.timeout(10):
        while await connection.fetchval("SELECT ticks FROM intake_clock") < count:
            await asyncio.sleep(0.05)


async def test_the_pulse_goes_on_after_postgres_was_away(
    clock: Clock, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings.postgres_dsn is not None
    surgeon = await connect(
        settings.postgres_dsn.get_secret_value(), application="surgeon", role=None
    )
    monkeypatch.setattr("gateway.pulse.PULSE_SECONDS", 0.1)
    await clock.send_waits()
    task = asyncio.create_task(clock.pulse.run())
    try:
        await until_ticks(surgeon, 1)
        await surgeon.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        await until_ticks(surgeon, 3)
    finally:
        await surgeon.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_the_door_that_is_tried_is_the_one_of_the_providers() -> None:
    local = load_settings({"PORT": "9000"})
    assert probe_url(local) == "http://localhost:9000/healthz"
    public = local.model_copy(
        update={"environment": "production", "api_base_url": "https://api.example.com/"}
    )
    assert probe_url(public) == "https://api.example.com/healthz"
    outside = public.model_copy(update={"intake_probe_url": "https://probe.example.com"})
    assert probe_url(outside) == "https://probe.example.com"
