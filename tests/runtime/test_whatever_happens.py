"""Properties of steps, children, streams, keys and cron, whatever fails or is taken back."""

import asyncio
import itertools
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from runtime import Context, Cron, Event, Retry, function
from runtime.errors import KeyConflict
from runtime.follower import Emitted, Ended, Restarted, Told
from runtime.registry import Registry
from runtime.settings import Settings
from runtime.streams import Streams
from runtime.worker import work
from tests.runtime.harness import Platform, platform, taken_back

QUICK = Retry(attempts=50, steps_seconds=(0.01,))
few = examples(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
pauses = st.lists(st.integers(1, 30), min_size=1, max_size=3)
"""So many milliseconds after an attempt begins, all workers are declared dead; another starts."""


class Plan(Event):
    parts: list[str]
    failures: list[int]
    """Attempt N fails before this part, while there is an entry for it."""


class Part(Event):
    number: int


class Talk(Event):
    lengths: list[int]
    """How much attempt N says before it fails; the last one says all and ends."""


@asynccontextmanager
async def taken_over(
    settings: Settings, registry: Registry, begun: asyncio.Event, pauses: list[int]
) -> AsyncIterator[Platform]:
    """Workers, one after the other; attempts set `begun`."""

    async def succeed(found: Platform) -> None:
        worker = asyncio.create_task(work(settings, registry))
        try:
            for pause in pauses:
                await begun.wait()
                await asyncio.sleep(pause / 1000)
                begun.clear()
                await taken_back(found)
                await worker
                worker = asyncio.create_task(work(settings, registry))
            await worker
        finally:
            worker.cancel()
            with suppress(asyncio.CancelledError):
                await worker

    async with platform(settings, registry) as found:
        working = asyncio.create_task(succeed(found))
        try:
            yield found
        finally:
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working


@given(
    parts=st.lists(st.sampled_from(["step", "write", "call", "gather"]), min_size=3, max_size=6),
    failures=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    pauses=pauses,
)
@few
async def test_an_answer_that_an_attempt_went_on_with_is_the_answer_of_all_later_ones(
    settings: Settings, parts: list[str], failures: list[int], pauses: list[int]
) -> None:
    answers: dict[int, set[str]] = defaultdict(set)
    """What attempts were told at each part, those that got to the next one."""
    fresh, done, begun = itertools.count(), itertools.count(), asyncio.Event()

    @function()
    async def part(event: Part, ctx: Context) -> int:
        await asyncio.sleep(0.01)  # its parent may be taken over meanwhile
        return next(done)

    @function(retry=QUICK)
    async def plan(event: Plan, ctx: Context) -> list[Any]:
        async def ask() -> int:
            return next(fresh)

        begun.set()
        told: list[Any] = []
        for number, kind in enumerate(event.parts):
            await asyncio.sleep(0.003)
            if event.failures[ctx.attempt - 1 : ctx.attempt] == [number]:
                raise ValueError("again")
            name = f"{kind} {number}"
            if kind == "call":
                answer = await ctx.call(Part(number=number), name=name)
            elif kind == "gather":
                answer = await ctx.gather({f"{name} {n}": Part(number=n) for n in range(2)})
            else:
                answer = await ctx.step(name, ask, writes=kind == "write", resolve=ask)
            if told:  # the one before is recorded by now
                answers[number - 1].add(json.dumps(told[-1]))
            told.append(answer)
        return told

    async with taken_over(settings, Registry([plan, part], []), begun, pauses) as found:
        before = await found.value("SELECT count(*) FROM invocation")
        outcome = await found.run(Plan(parts=parts, failures=failures), seconds=60)
        assert outcome.state == "done", outcome
        for number, answer in enumerate(json.loads(outcome.result or "")[:-1]):
            assert answers[number] == {json.dumps(answer)}
        children = parts.count("call") + 2 * parts.count("gather")
        named = "SELECT count(DISTINCT id) FROM child WHERE parent = $1"
        assert await found.value(named, outcome.id) == children
        stored = await found.value("SELECT count(*) FROM invocation") - before
        assert stored == 1 + children
        assert await found.value("SELECT count(*) FROM work") == 0


@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=3),
    leaves=st.lists(st.integers(1, 30), max_size=4),
    pauses=pauses,
)
@few
async def test_who_comes_and_goes_has_every_chunk_of_the_last_attempt_once_and_in_order(
    settings: Settings, lengths: list[int], leaves: list[int], pauses: list[int]
) -> None:
    begun = asyncio.Event()

    @function(retry=QUICK)
    async def talk(event: Talk, ctx: Context) -> int:
        begun.set()
        length = event.lengths[min(ctx.attempt, len(event.lengths)) - 1]
        for number in range(length):
            await ctx.emit(number)
            if number % 5 == 0:
                await asyncio.sleep(0.002)
        if ctx.attempt < len(event.lengths):
            raise ValueError("again")
        return length

    async with taken_over(settings, Registry([talk], []), begun, pauses) as found:
        receipt = await found.dispatcher.dispatch(Talk(lengths=lengths), follow=True)
        told = await followed_with_breaks(found.dispatcher.streams, receipt.id, leaves)
    heard: list[int] = []
    for one in told:
        if isinstance(one, Restarted):
            heard = []
        elif isinstance(one, Emitted):
            heard.append(json.loads(one.data))
    end = told[-1]
    assert isinstance(end, Ended)
    assert (end.state, end.result) == ("done", str(len(heard)))
    assert heard == list(range(len(heard)))


async def followed_with_breaks(streams: Streams, number: int, leaves: list[int]) -> list[Told]:
    """Follow to the end; leave after so many pieces of news each, and come back."""
    told: list[Told] = []
    limits = iter(leaves)
    async with asyncio.timeout(60):
        while not (told and isinstance(told[-1], Ended)):
            epoch, _, place = (told[-1].cursor if told else "0.0").partition(".")
            limit = len(told) + next(limits, 10_000)
            async with streams.following(number, (int(epoch), int(place))) as follower:
                while len(told) < limit and not (told and isinstance(told[-1], Ended)):
                    await follower.news.wait()
                    told += follower.take()[: limit - len(told)]
    return told


@given(
    asked=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(1, 2), st.booleans()), min_size=2, max_size=30
    )
)
@few
async def test_a_key_is_one_invocation_whoever_uses_it_and_however_often(
    settings: Settings, asked: list[tuple[str, int, bool]]
) -> None:
    @function()
    async def part(event: Part, ctx: Context) -> None: ...

    registry = Registry([part], [])
    async with platform(settings, registry) as first, platform(settings, registry) as second:
        async with first.database.engine() as connection:
            await connection.execute("DELETE FROM once")  # of the example before
        before = await first.value("SELECT count(*) FROM invocation")
        answers = await asyncio.gather(
            *(
                (first if whose else second).dispatcher.dispatch(Part(number=number), key=key)
                for key, number, whose in asked
            ),
            return_exceptions=True,
        )
        after = await first.value("SELECT count(*) FROM invocation")
        stored = {
            key: (one.id, number)
            for (key, number, _), one in zip(asked, answers, strict=True)
            if not isinstance(one, BaseException)
        }
        for (key, number, _), one in zip(asked, answers, strict=True):
            if isinstance(one, BaseException):
                assert isinstance(one, KeyConflict)
                assert number != stored[key][1]
            else:
                assert (one.id, number) == stored[key]
        assert after - before == len(stored)


@given(
    began=st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)),  # noqa: DTZ001
    looks=st.lists(st.integers(1, 90_000), min_size=1, max_size=12),
    expression=st.sampled_from(["* * * * *", "*/30 * * * *", "30 2 * * *", "0 0 1 * *"]),
    zone=st.sampled_from(["UTC", "America/Sao_Paulo", "America/Santiago", "America/New_York"]),
    missed=st.sampled_from(["once", "skip"]),
)
@examples(max_examples=300, deadline=None)
def test_a_time_of_cron_runs_once_at_most_and_never_early(
    began: datetime, looks: list[int], expression: str, zone: str, missed: str
) -> None:
    cron = Cron(expression, zone=zone, missed=missed)  # type: ignore[arg-type]
    now = began.replace(tzinfo=UTC)
    following, ran = cron.next_after(now), []
    for seconds in looks:
        now += timedelta(seconds=seconds)
        if following > now:
            continue
        at = cron.due(following, now)
        assert at is not None or (missed == "skip" and now - following > timedelta(seconds=60))
        if at is not None:
            assert at <= now
            if missed == "skip":
                assert now - at < timedelta(seconds=60)
            ran.append(at)
        following = cron.next_after(now)
        assert following > now
        assert following.astimezone(ZoneInfo(zone)).second == 0
    assert ran == sorted(set(ran))
