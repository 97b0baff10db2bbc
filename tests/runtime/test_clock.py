"""Cron functions start at their times, once, however many clocks run."""

import asyncio
import logging
import time
from datetime import datetime

import pytest

from runtime import Context, Cron, Event, function
from runtime.clock import Clock
from runtime.numbered import NumberedRegistry
from runtime.registry import Registry
from runtime.settings import Settings
from tests.runtime.harness import platform, working


class Tick(Event):
    pass


@function(trigger=Cron("*/5 * * * *", zone="America/Argentina/Buenos_Aires"))
async def tick(event: Tick, ctx: Context) -> None:
    """Do nothing."""


async def test_a_missed_time_is_made_up_for_once_by_one_of_many_clocks(settings: Settings) -> None:
    registry = Registry([tick], [])
    async with platform(settings, registry) as found:
        async with found.database.engine() as connection:
            numbered = await NumberedRegistry.load(connection, registry)
        clocks = [Clock(found.database, numbered) for _ in range(4)]
        for clock in clocks:
            await clock._store()
        assert await clocks[0].tick() <= 30
        assert await found.value("SELECT count(*) FROM invocation") == 0
        async with found.database.engine() as connection:
            await connection.execute("UPDATE schedule SET next_at = next_at - interval '3 hours'")
        await asyncio.gather(*[clock.tick() for clock in clocks])
        assert await found.value("SELECT count(*) FROM invocation") == 1
        assert await found.value("SELECT next_at > clock_timestamp() FROM schedule")


@pytest.mark.parametrize(
    ("now", "runs"),
    [
        ("12:00:01", "12:00:00"),
        ("12:00:59", "12:00:00"),
        ("12:01:30", None),
        ("12:29:59", None),
        ("15:30:20", "15:30:00"),  # hours were missed, this time was not
    ],
)
def test_missed_times_may_be_left_out(now: str, runs: str | None) -> None:
    def at(time: str) -> datetime:
        return datetime.fromisoformat(f"2026-11-29T{time}+00:00")

    left_out, made_up = (Cron("*/30 * * * *", missed=how) for how in ("skip", "once"))
    assert left_out.due(at("12:00:00"), at(now)) == (runs and at(runs))
    assert made_up.due(at("12:00:00"), at(now)) == at("12:00:00")


async def test_a_clock_leaves_out_what_was_missed_and_goes_on(settings: Settings) -> None:
    @function(trigger=Cron("0 0 1 1 *", missed="skip"))
    async def yearly(event: Tick, ctx: Context) -> None: ...

    registry = Registry([yearly], [])
    async with platform(settings, registry) as found:
        async with found.database.engine() as connection:
            numbered = await NumberedRegistry.load(connection, registry)
        clock = Clock(found.database, numbered)
        await clock._store()
        async with found.database.engine() as connection:
            await connection.execute("UPDATE schedule SET next_at = now() - interval '3 hours'")
        await clock.tick()
        assert await found.value("SELECT count(*) FROM invocation") == 0
        assert await found.value("SELECT next_at > clock_timestamp() FROM schedule")


async def test_a_known_time_stays_when_a_clock_starts_again(settings: Settings) -> None:
    registry = Registry([tick], [])
    async with platform(settings, registry) as found:
        async with found.database.engine() as connection:
            numbered = await NumberedRegistry.load(connection, registry)
        await Clock(found.database, numbered)._store()
        async with found.database.engine() as connection:
            await connection.execute("UPDATE schedule SET next_at = next_at - interval '3 hours'")
        await Clock(found.database, numbered)._store()
        assert await found.value("SELECT next_at < clock_timestamp() FROM schedule")


async def test_a_worker_with_a_clock_runs_what_is_due(settings: Settings) -> None:
    registry = Registry([tick], [])
    async with platform(settings, registry) as found:
        async with found.database.engine() as connection:
            numbered = await NumberedRegistry.load(connection, registry)
        await Clock(found.database, numbered)._store()
        async with found.database.engine() as connection:
            await connection.execute("UPDATE schedule SET next_at = clock_timestamp()")
        async with working(settings, [tick], clock=True):
            async with asyncio.timeout(10):
                while not await found.value("SELECT count(*) FROM outcome WHERE state = 'd'"):
                    await asyncio.sleep(0.02)


async def test_a_handler_that_blocks_the_loop_is_named(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    class Block(Event):
        pass

    @function()
    async def block(event: Block, ctx: Context) -> str:
        time.sleep(2.5)  # noqa: ASYNC251 - the fault under test
        return "late"

    with caplog.at_level(logging.WARNING, "nexus.lease"):
        async with working(settings, [block]) as found:
            assert (await found.run(Block())).result == '"late"'
    (record,) = [r for r in caplog.records if "blocked" in r.message]
    assert "test_clock.py" in record.__dict__["fields"]["where"]
