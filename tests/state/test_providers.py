"""A provider's limits hold, whoever asks."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from state.database import Connection, Database, connect
from state.providers import Limits, Slot, correct_tokens, pause, paused_seconds, take_slot
from state.retention import forget_old

OURS, OTHER = 11, -12


@pytest.fixture
async def connection(database_dsn: str) -> AsyncIterator[Connection]:
    connection = await connect(database_dsn, application="test")
    yield connection
    await connection.close()


async def take(connection: Connection, limits: Limits, invocation: int = 1, **given: Any) -> Slot:
    values = {"call": "c", "requests": 1, "tokens": 0, "patience_seconds": None, **given}
    provider = values.pop("provider", OURS)
    return await take_slot(
        connection, provider, "h", limits, invocation=invocation, near_seconds=0.5, **values
    )


def busiest(times: Sequence[tuple[float, int]]) -> int:
    """Return how much there is in the busiest minute."""
    return max(
        sum(amount for at, amount in times if first <= at < first + 60) for first, _ in times
    )


@pytest.mark.parametrize("per_minute", [3, 60, 600])
async def test_no_minute_has_more_requests_than_the_limit(
    connection: Connection, per_minute: int
) -> None:
    loop = asyncio.get_running_loop()
    times = []
    for number in range(per_minute * 2):
        slot = await take(connection, Limits(per_minute, None), number)
        times.append((loop.time() + slot.wait_seconds, 1))
    assert busiest(times) <= per_minute
    assert times[-1][0] - times[0][0] < 2 * 60 * 1.1, "and nearly all of it can be used"


async def test_no_minute_has_more_tokens_than_the_limit(connection: Connection) -> None:
    loop, dice = asyncio.get_running_loop(), random.Random(4)
    times = []
    for number in range(400):
        tokens = dice.randint(1, 400)
        slot = await take(connection, Limits(1000, 20_000), number, tokens=tokens)
        times.append((loop.time() + slot.wait_seconds, tokens))
    assert busiest(times) <= 20_000


async def test_a_call_for_more_than_may_come_at_once_is_let_in_alone(
    connection: Connection,
) -> None:
    assert (await take(connection, Limits(None, 1000), tokens=1900)).wait_seconds == 0
    slot = await take(connection, Limits(None, 1000), 2, tokens=10)
    assert 100 < slot.wait_seconds < 120


async def test_a_moment_is_kept_for_the_attempt_that_comes_then(connection: Connection) -> None:
    limits = Limits(6, None)
    await take(connection, limits)
    first = await take(connection, limits, 2)
    await take(connection, limits, 3)
    again = await take(connection, limits, 2)
    assert first.wait_seconds - 1 < again.wait_seconds <= first.wait_seconds
    await connection.execute("UPDATE slot SET at = clock_timestamp() WHERE id = 2")
    before = await connection.fetchval("SELECT requests_at FROM provider")
    assert (await take(connection, limits, 2)).wait_seconds == 0
    assert await connection.fetchval("SELECT requests_at FROM provider") == before
    assert await connection.fetchval("SELECT array_agg(id) FROM slot") == [3]


async def test_who_cannot_wait_takes_nothing(connection: Connection) -> None:
    limits = Limits(6, None)
    await take(connection, limits)
    before = await connection.fetchval("SELECT requests_at FROM provider")
    slot = await take(connection, limits, 2, patience_seconds=1.0)
    assert not slot.ours
    assert slot.wait_seconds > 1
    assert await connection.fetchval("SELECT requests_at FROM provider") == before
    assert (await take(connection, Limits(), 2, patience_seconds=-1.0)).ours, "nobody has to wait"


async def test_after_a_pause_everybody_comes_spread(connection: Connection) -> None:
    limits = Limits(60, None)
    for number in range(1, 9):
        await take(connection, limits, number)
    await pause(connection, OURS, "h", 600)
    await pause(connection, OURS, "h", 1)  # the longest counts
    waits = [(await take(connection, limits, number)).wait_seconds for number in range(5, 30)]
    assert 599 < min(waits) <= 600
    assert busiest([(wait, 1) for wait in waits]) <= 60
    assert len({round(wait) for wait in waits}) > 20
    assert await paused_seconds(connection, OURS) > 599
    assert await paused_seconds(connection, OTHER) == 0
    assert (await take(connection, limits, provider=OTHER)).wait_seconds == 0


async def test_tokens_that_were_not_taken_are_there_for_others(connection: Connection) -> None:
    limits = Limits(None, 1000)
    await take(connection, limits, tokens=1000)
    await correct_tokens(connection, OURS, limits, -900)
    assert (await take(connection, limits, 2, tokens=1)).wait_seconds < 7


async def test_moments_that_nobody_came_for_are_forgotten(database_dsn: str) -> None:
    database = await Database.open(database_dsn, application="test")
    try:
        async with database.engine() as connection:
            for number in range(3):
                await take(connection, Limits(1, None), number)
            await connection.execute("UPDATE slot SET at = at - interval '2 hours' WHERE id = 1")
        await forget_old(database)
        async with database.engine() as connection:
            assert await connection.fetchval("SELECT array_agg(id) FROM slot") == [2]
    finally:
        await database.aclose()
