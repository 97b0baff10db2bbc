"""What a function emits reaches who follows: in order, once, up to the end."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from runtime import Context, Event, Retry, function
from runtime.emitter import CHUNK_LIMIT_BYTES
from runtime.errors import LeaseLost
from runtime.follower import Emitted, Ended, Restarted, Told
from runtime.registry import load_registry
from runtime.settings import Settings
from runtime.streams import Streams
from state.retention import forget_old
from tests.runtime.harness import Platform, platform, worker_process, working
from tests.sample.count import Count


class Talk(Event):
    what: str = ""


async def followed(
    streams: Streams, invocation: int, after: tuple[int, int] = (0, 0), seconds: float = 20
) -> list[Told]:
    """Everything up to the end."""
    told: list[Told] = []
    async with asyncio.timeout(seconds), streams.following(invocation, after) as follower:
        while not (told and isinstance(told[-1], Ended)):
            await follower.news.wait()
            told += follower.take()
    return told


def data(told: list[Told]) -> list[Any]:
    return [json.loads(one.data) for one in told if isinstance(one, Emitted)]


async def run(found: Platform, event: Event) -> tuple[int, list[Told]]:
    receipt = await found.dispatcher.dispatch(event, follow=True)
    return receipt.id, await followed(found.dispatcher.streams, receipt.id)


async def test_chunks_come_in_order_and_then_the_outcome(settings: Settings) -> None:
    @function()
    async def talk(event: Talk, ctx: Context) -> str:
        for number in range(300):  # more than one read gives
            await ctx.emit(number)
        return "said"

    async with working(settings, [talk]) as found:
        _, told = await run(found, Talk())
    assert data(told) == list(range(300))
    assert told[-1] == Ended(told[-2].cursor, "done", '"said"', None)


async def test_who_comes_back_gets_what_it_missed_and_nothing_twice(settings: Settings) -> None:
    @function()
    async def talk(event: Talk, ctx: Context) -> None:
        for number in range(10):
            await ctx.emit(number)

    async with working(settings, [talk]) as found:
        number, told = await run(found, Talk())
        epoch, _, place = told[3].cursor.partition(".")
        again = await followed(found.dispatcher.streams, number, (int(epoch), int(place)))
        at_the_end = await followed(found.dispatcher.streams, number, (int(epoch), 10))
    assert again == told[4:]
    assert at_the_end == told[-1:]


async def test_a_second_attempt_begins_anew_and_its_followers_are_told(settings: Settings) -> None:
    @function(retry=Retry(attempts=2, steps_seconds=(0.01,)))
    async def talk(event: Talk, ctx: Context) -> None:
        await ctx.emit(f"attempt {ctx.attempt}")
        if ctx.attempt == 1:
            await seen.wait()
            raise ValueError("not that")

    seen = asyncio.Event()
    async with working(settings, [talk]) as found:
        receipt = await found.dispatcher.dispatch(Talk(), follow=True)
        async with found.dispatcher.streams.following(receipt.id) as follower:
            await follower.news.wait()
            (first,) = follower.take()
            seen.set()
        epoch, _, place = first.cursor.partition(".")
        there = await followed(found.dispatcher.streams, receipt.id, (int(epoch), int(place)))
        late = await followed(found.dispatcher.streams, receipt.id)
    assert data([first]) == ["attempt 1"]
    assert isinstance(there[0], Restarted)
    assert data(there) == ["attempt 2"]
    assert data(late) == ["attempt 2"]
    assert not any(isinstance(one, Restarted) for one in late)


async def test_a_last_attempt_that_says_nothing_takes_back_what_was_said(
    settings: Settings,
) -> None:
    @function(retry=Retry(attempts=2, steps_seconds=(0.01,)))
    async def talk(event: Talk, ctx: Context) -> None:
        if ctx.attempt == 1:
            await ctx.emit("premature")
            raise ValueError("not that")

    async with working(settings, [talk]) as found:
        number, told = await run(found, Talk())
        place = next(one.cursor for one in [*told, Emitted("1.1", "")] if isinstance(one, Emitted))
        epoch, _, last = place.partition(".")
        there = await followed(found.dispatcher.streams, number, (int(epoch), int(last)))
    assert [type(one) for one in there] == [Restarted, Ended]


async def test_dead_and_cancelled_ones_end_their_streams(settings: Settings) -> None:
    @function(retry=Retry(attempts=1))
    async def talk(event: Talk, ctx: Context) -> None:
        await ctx.emit("about to")
        if event.what == "die":
            raise ValueError("died")
        await asyncio.sleep(60)

    async with working(settings, [talk]) as found:
        _, died = await run(found, Talk(what="die"))
        receipt = await found.dispatcher.dispatch(Talk(), follow=True)
        async with found.dispatcher.streams.following(receipt.id) as follower:
            await follower.news.wait()
        await found.invocations.cancel(receipt.id, actor="test")
        ended = await followed(found.dispatcher.streams, receipt.id)
    assert isinstance(died[-1], Ended)
    assert (died[-1].state, died[-1].error) == ("dead", "ValueError: died")
    assert isinstance(ended[-1], Ended)
    assert ended[-1].state == "cancelled"


async def test_a_silent_function_has_a_stream_that_only_ends(settings: Settings) -> None:
    @function()
    async def talk(event: Talk, ctx: Context) -> int:
        return 7

    async with working(settings, [talk]) as found:
        _, told = await run(found, Talk())
        assert await found.value("SELECT count(*) FROM chunk") == 0
    assert [type(one) for one in told] == [Ended]


async def test_what_is_too_large_or_no_json_is_refused_and_named(settings: Settings) -> None:
    @function(retry=Retry(attempts=1))
    async def talk(event: Talk, ctx: Context) -> None:
        await ctx.emit("x" * CHUNK_LIMIT_BYTES if event.what == "large" else object())

    async with working(settings, [talk]) as found:
        large = await found.run(Talk(what="large"))
        strange = await found.run(Talk())
    assert "64,002 bytes; the limit is 64,000" in (large.error or "")
    assert "a chunk has no JSON form" in (strange.error or "")


async def test_an_attempt_has_a_limit_in_all(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.emitter.STREAM_LIMIT_BYTES", 1000)

    @function(retry=Retry(attempts=1))
    async def talk(event: Talk, ctx: Context) -> None:
        while True:
            await ctx.emit("x" * 98)

    async with working(settings, [talk]) as found:
        outcome = await found.run(Talk())
        assert await found.value("SELECT count(*) FROM chunk") == 10
    assert "over 1,000 bytes" in (outcome.error or "")


async def test_tasks_of_one_attempt_emit_without_loss(settings: Settings) -> None:
    @function(lane="what")
    async def talk(event: Talk, ctx: Context) -> None:
        await asyncio.gather(*[ctx.emit(number) for number in range(50)])

    async with working(settings, [talk]) as found:
        _, told = await run(found, Talk(what="a lane"))
    assert sorted(data(told)) == list(range(50))


async def test_a_taken_over_attempt_emits_nothing_more(settings: Settings) -> None:
    @function(retry=Retry(attempts=1))
    async def talk(event: Talk, ctx: Context) -> None:
        await ctx.emit("mine")
        await ctx.platform.settle()
        emitted.set()
        await taken.wait()
        await ctx.emit("not mine")
        with pytest.raises(LeaseLost):
            await ctx.platform.settle()
        fenced.set()

    emitted, taken, fenced = asyncio.Event(), asyncio.Event(), asyncio.Event()
    async with working(settings, [talk]) as found:
        await found.dispatcher.dispatch(Talk())
        await emitted.wait()
        async with found.database.engine() as connection:
            await connection.execute("UPDATE work SET epoch = epoch + 1")
        taken.set()
        async with asyncio.timeout(15):
            await fenced.wait()
        assert await found.value("SELECT array_agg(data) FROM chunk") == ['"mine"']


async def test_a_killed_worker_loses_and_doubles_nothing(
    settings: Settings, tmp_path: Path
) -> None:
    registry = load_registry("tests.sample")
    async with (
        platform(settings, registry) as found,
        worker_process(settings, tmp_path) as first,
        asyncio.timeout(40),
    ):
        event = Count(upto=40, pause_seconds=0.05)
        receipt = await found.dispatcher.dispatch(event, follow=True)
        told: list[Told] = []
        async with found.dispatcher.streams.following(receipt.id) as follower:
            while len(told) < 5:
                await follower.news.wait()
                told += follower.take()
            first.kill()
            async with worker_process(settings, tmp_path):
                while not isinstance(told[-1], Ended):
                    await follower.news.wait()
                    told += follower.take()
    restarts = [place for place, one in enumerate(told) if isinstance(one, Restarted)]
    assert len(restarts) == 1
    before, after = data(told[: restarts[0]]), data(told[restarts[0] :])
    assert [one["number"] for one in before] == list(range(1, len(before) + 1))
    assert [one["number"] for one in after] == list(range(1, 41))


async def test_chunks_are_forgotten_with_their_invocation(settings: Settings) -> None:
    @function()
    async def talk(event: Talk, ctx: Context) -> None:
        await ctx.emit(1)

    async with working(settings, [talk]) as found:
        await run(found, Talk())
        await forget_old(found.database)
        assert await found.value("SELECT count(*) FROM chunk") == 1
        async with found.database.engine() as connection:
            await connection.execute("UPDATE outcome SET done_at = now() - interval '31 days'")
        await forget_old(found.database)
        assert await found.value("SELECT count(*) FROM chunk") == 0
