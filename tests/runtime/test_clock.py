"""Cron functions start at their times, once, however many clocks run."""

import asyncio
import logging
import time

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
