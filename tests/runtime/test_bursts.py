"""Bursts in a lane: the newest event alone, or into the hands of the handler that runs."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from runtime import Context, Event, Merge, Retry, Steer, Supersede, function
from runtime.attempt import SUPERSEDED
from runtime.function import Function
from runtime.registry import Registry
from runtime.settings import Settings
from runtime.testing import Trial
from runtime.worker import work
from tests.runtime.harness import platform, taken_back, until, working

QUICK = Retry(attempts=50, steps_seconds=(0.01,))


class Task(Event):
    number: int = 0
    line: str | None = "a"


class Other(Event):
    line: str = "a"


async def test_the_newest_event_ends_those_that_wait_and_the_one_that_runs(
    settings: Settings,
) -> None:
    begun: list[int] = []

    @function(lane="line", burst=Supersede())
    async def draw(event: Task, ctx: Context) -> int:
        begun.append(event.number)
        assert not ctx.merged
        if event.number != 3:
            await asyncio.sleep(60)
        return event.number

    async with working(settings, [draw]) as found:
        ids = [(await found.dispatcher.dispatch(Task(number=0))).id]
        await until(lambda: begun == [0])
        ids += await found.dispatcher.dispatch_many([Task(number=number) for number in (1, 2, 3)])
        ends = [await found.end_of(number) for number in ids]
    assert begun == [0, 3]
    assert [one.state for one in ends] == ["cancelled", "cancelled", "cancelled", "done"]
    assert {one.error for one in ends[:3]} == {SUPERSEDED}


async def test_other_lanes_and_events_without_one_are_not_superseded(settings: Settings) -> None:
    begun: list[int] = []
    go = asyncio.Event()

    @function(lane="line", burst=Supersede())
    async def draw(event: Task, ctx: Context) -> None:
        begun.append(event.number)
        await go.wait()

    async with working(settings, [draw]) as found:
        lines = ["a", "b", None, None]
        events = [Task(number=number, line=line) for number, line in enumerate(lines)]
        ids = await found.dispatcher.dispatch_many(events)
        await until(lambda: len(begun) == 4)
        go.set()
        assert [(await found.end_of(number)).state for number in ids] == ["done"] * 4


async def test_a_new_event_reaches_the_running_handler_and_ends_with_it(settings: Settings) -> None:
    begun = asyncio.Event()

    @function(lane="line", burst=Steer())
    async def answer(event: Task, ctx: Context) -> list[int]:
        begun.set()
        numbers = [event.number]
        async for newer in ctx.inbox:
            assert isinstance(newer, Task)
            numbers.append(newer.number)
            if newer.number == 3:
                return numbers
        raise AssertionError("the inbox has no end")

    async with working(settings, [answer]) as found:
        first = await found.dispatcher.dispatch(Task(), wait=True)
        await begun.wait()
        ids = [(await found.dispatcher.dispatch(Task(number=number))).id for number in (1, 2, 3)]
        assert (await found.end_of(first.id)).result == "[0,1,2,3]"
        # One commit: when the first has ended, the taken ones have.
        assert await found.value("SELECT count(*) FROM work") == 0
        assert {(await found.end_of(number)).result for number in ids} == {"[0,1,2,3]"}


async def test_what_was_taken_by_an_attempt_that_fails_is_taken_again(settings: Settings) -> None:
    seen: list[tuple[int, list[int]]] = []

    @function(lane="line", burst=Steer(), retry=Retry(attempts=2, steps_seconds=(0.01,)))
    async def answer(event: Task, ctx: Context) -> list[int]:
        taken = [one.number for one in await ctx.inbox.take()]  # type: ignore[attr-defined]
        assert await ctx.inbox.take() == []
        seen.append((event.number, taken))
        if event.number == 0:
            raise ValueError("not yet, and never")
        return taken

    async with platform(settings, Registry([answer], [])) as found:
        ids = await found.dispatcher.dispatch_many([Task(number=number) for number in range(3)])
    async with working(settings, [answer]) as found:
        ends = [await found.end_of(number) for number in ids]
    # The head died after two attempts; what it had taken was not lost with it.
    assert seen == [(0, [1, 2]), (0, [1, 2]), (1, [2])]
    assert [one.state for one in ends] == ["dead", "done", "done"]


async def test_the_inbox_never_overtakes_another_functions_event_or_a_later_time(
    settings: Settings,
) -> None:
    @function(lane="line", namespace="talk", burst=Steer())
    async def answer(event: Task, ctx: Context) -> list[int]:
        return [one.number for one in await ctx.inbox.take()]  # type: ignore[attr-defined]

    @function(lane="line", namespace="talk")
    async def note(event: Other, ctx: Context) -> None: ...

    async with platform(settings, Registry([answer, note], [])) as found:
        before = await found.dispatcher.dispatch_many(
            [Task(), Task(number=1), Other(), Task(number=2), Task(number=3)]
        )
        await found.dispatcher.dispatch(Task(number=4), delay_seconds=600)
    async with working(settings, [answer, note]) as found:
        ends = [await found.end_of(number) for number in before]
    assert [one.result for one in ends] == ["[1]", "[1]", None, "[3]", "[3]"]


async def test_a_trial_hands_out_an_inbox() -> None:
    @function(lane="line", burst=Steer())
    async def answer(event: Task, ctx: Context) -> list[int]:
        return [one.number async for one in ctx.inbox]  # type: ignore[attr-defined]

    assert await Trial(answer).run(Task(), inbox=[Task(number=1), Task(number=2)]) == [1, 2]


@function(lane="line", burst=Steer(), retry=QUICK)
async def steered(event: Task, ctx: Context) -> list[int]:
    """Handle an event, and what comes meanwhile; some attempts fail."""
    numbers = [event.number]
    with alone_in(event.line):
        for _ in range(3):
            await asyncio.sleep(0.005)
            numbers += [one.number for one in await ctx.inbox.take()]  # type: ignore[attr-defined]
    if (event.number + ctx.attempt) % 3 == 0:
        raise ValueError("again")
    return numbers


@function(lane="line", burst=Supersede(), retry=QUICK)
async def superseded(event: Task, ctx: Context) -> list[int]:
    """Handle the newest event; some attempts fail."""
    with alone_in(event.line):
        await asyncio.sleep(0.01)
    if (event.number + ctx.attempt) % 3 == 0:
        raise ValueError("again")
    return [event.number]


@function(lane="line", burst=Merge(quiet_seconds=0.02, cap_seconds=0.1), retry=QUICK)
async def merged(event: Task, ctx: Context) -> list[int]:
    """Handle what came together; some attempts fail."""
    with alone_in(event.line):
        await asyncio.sleep(0.01)
    if (event.number + ctx.attempt) % 3 == 0:
        raise ValueError("again")
    return [*(one.number for one in ctx.merged), event.number]  # type: ignore[attr-defined]


running: list[str | None] = []
overlaps: list[str | None] = []
"""Lanes in which two attempts ran at once."""


@contextmanager
def alone_in(line: str | None) -> Iterator[None]:
    """Run in a lane, and tell of it when another attempt does."""
    if line in running:
        overlaps.append(line)
    running.append(line)
    try:
        yield
    finally:
        running.remove(line)


actions = st.lists(
    st.one_of(
        st.tuples(st.just("burst"), st.sampled_from("ab"), st.integers(1, 4)),
        st.tuples(st.just("pause"), st.integers(1, 30)),
        st.tuples(st.just("kill")),
    ),
    min_size=3,
    max_size=10,
)


@pytest.mark.parametrize("chosen", [steered, superseded, merged], ids=lambda one: one.name)
@given(actions=actions)
@examples(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_bursts_kills_and_retries_lose_double_and_reorder_nothing(
    settings: Settings, chosen: Function[Any], actions: list[Any]
) -> None:
    registry = Registry([chosen], [])
    sent: dict[str, list[int]] = defaultdict(list)
    async with platform(settings, registry) as found:
        worker = asyncio.create_task(work(settings, registry))
        try:
            for action in actions:
                if action[0] == "pause":
                    await asyncio.sleep(action[1] / 1000)
                elif action[0] == "kill":
                    await taken_back(found)
                    await worker
                    worker = asyncio.create_task(work(settings, registry))
                else:
                    base = len(sent[action[1]])
                    events = [Task(number=base + n, line=action[1]) for n in range(action[2])]
                    sent[action[1]] += await found.dispatcher.dispatch_many(events)
            await found.zero("SELECT count(*) FROM work")
            assert not overlaps
            for ids in sent.values():
                check(chosen, [await found.end_of(number) for number in ids])
        finally:
            worker.cancel()
            with suppress(asyncio.CancelledError):
                await worker


def check(chosen: Function[Any], ends: list[Any]) -> None:
    """Every event of a lane has one end, and the runs that count come in their order."""
    if chosen is superseded:
        assert ends[-1].state == "done"
        assert {one.error for one in ends if one.state == "cancelled"} <= {SUPERSEDED}
        done = [(place, one) for place, one in enumerate(ends) if one.state == "done"]
        assert [json.loads(one.result) for _, one in done] == [[place] for place, _ in done]
        return
    assert {one.state for one in ends} <= {"done"}
    runs = list(dict.fromkeys(one.result for one in ends))
    assert [number for run in runs for number in json.loads(run)] == list(range(len(ends)))
