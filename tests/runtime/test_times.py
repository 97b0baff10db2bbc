"""When work starts, when it is too late to start, and who is first in line."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from runtime import Context, Event, Merge, Retry, function
from runtime.errors import InvalidEvent
from runtime.registry import Registry
from runtime.replays import Replay
from runtime.settings import Settings
from state.admission import late_drops
from tests.runtime.harness import platform, working


class Task(Event):
    number: int = 0
    urgency: int = 0


class Other(Event):
    number: int = 0


class Begin(Event):
    at: datetime


def soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def test_what_has_a_time_starts_then_and_what_had_one_at_once(settings: Settings) -> None:
    started: list[datetime] = []

    @function()
    async def note(event: Task, ctx: Context) -> None:
        started.append(ctx.now())

    async with working(settings, [note]) as found:
        at = soon(0.4)
        receipt = await found.dispatcher.dispatch(Task(), at=at, wait=True)
        await found.end_of(receipt.id)
        assert started[0] >= at
        receipt = await found.dispatcher.dispatch(Task(), at=soon(-3600), wait=True)
        await found.end_of(receipt.id)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"at": datetime(2026, 12, 24, 9)}, "names no time zone"),  # noqa: DTZ001
        ({"at": datetime(2026, 12, 24, 9, tzinfo=UTC), "delay_seconds": 3}, "not both"),
        ({"delay_seconds": -1}, "ten years"),
        ({"delay_seconds": float("nan")}, "ten years"),
    ],
)
async def test_an_unclear_time_is_refused(
    settings: Settings, options: dict[str, Any], says: str
) -> None:
    @function()
    async def never(event: Task, ctx: Context) -> None: ...

    async with platform(settings, Registry([never], [])) as found:
        with pytest.raises(InvalidEvent, match=says):
            await found.dispatcher.dispatch(Task(), **options)
        assert await found.value("SELECT count(*) FROM invocation") == 0


async def test_a_childs_time_does_not_move_with_its_parents_end(settings: Settings) -> None:
    @function()
    async def parent(event: Begin, ctx: Context) -> None:
        await ctx.dispatch(Task(), at=event.at)
        async with ctx.transaction() as transaction:
            transaction.dispatch(Other(), at=event.at)
            await asyncio.sleep(0.5)

    @function()
    async def child(event: Task, ctx: Context) -> None: ...

    @function()
    async def other(event: Other, ctx: Context) -> None: ...

    async with working(settings, [parent, child, other]) as found:
        at = soon(600)
        await found.run(Begin(at=at))
        early, late = await found.value("SELECT ARRAY[min(run_at), max(run_at)] FROM work")
        assert await found.value("SELECT count(*) FROM work") == 2
    assert at - timedelta(seconds=0.3) < early <= late < at + timedelta(seconds=0.3)


async def test_late_work_is_dropped_unstarted_and_says_so(settings: Settings) -> None:
    ran: list[int] = []

    @function(deadline=5)
    async def prompt(event: Task, ctx: Context) -> None:
        ran.append(event.number)

    registry = Registry([prompt], [])
    async with platform(settings, registry) as found:
        late = await found.dispatcher.dispatch(Task(number=1), wait=True)
        delayed = await found.dispatcher.dispatch(Task(number=2), delay_seconds=20)
        keyed = await found.dispatcher.dispatch(Task(number=3), key="k")
        async with found.database.engine() as connection:
            await connection.execute(  # six seconds pass for the first and the second
                "UPDATE work SET run_at = run_at - interval '6 s', late_at = late_at - interval"
                " '6 s' WHERE id = ANY ($1::bigint[])",
                [late.id, delayed.id],
            )
    async with working(settings, [prompt]) as found:
        outcome = await found.end_of(late.id)
        await found.until(keyed.id, "done")
        assert (await found.invocations.get(delayed.id)).state == "waiting"  # type: ignore[union-attr]
        async with found.database.engine() as connection:
            drops = await late_drops(connection)
    assert (outcome.state, ran) == ("cancelled", [3])
    assert drops == [("prompt", 1)]
    assert outcome.error == "not started: 5 s after it was due had passed"


async def test_what_failed_is_not_tried_again_when_that_would_be_too_late(
    settings: Settings,
) -> None:
    tries: list[int] = []

    @function(deadline=300, retry=Retry(steps_seconds=(0.01,)))
    async def hasty(event: Task, ctx: Context) -> None:
        tries.append(ctx.attempt)
        if ctx.attempt == 2:  # ten minutes pass
            async with found.database.engine() as connection:
                await connection.execute("UPDATE work SET late_at = late_at - interval '600 s'")
        raise ConnectionError("again")

    async with working(settings, [hasty]) as found:
        outcome = await found.run(Task())
    assert (outcome.state, tries) == ("cancelled", [1, 2])
    assert "300 s after it was due" in str(outcome.error)


async def test_a_late_head_of_a_lane_makes_room_and_runs_when_a_person_replays_it(
    settings: Settings,
) -> None:
    ran: list[int] = []

    @function(deadline=5, lane="urgency")
    async def prompt(event: Task, ctx: Context) -> None:
        ran.append(event.number)

    async with platform(settings, Registry([prompt], [])) as found:
        head, behind = await found.dispatcher.dispatch_many([Task(number=1), Task(number=2)])
        async with found.database.engine() as connection:
            await connection.execute(
                "UPDATE work SET late_at = late_at - interval '6 s' WHERE id = $1", head
            )
    async with working(settings, [prompt]) as found:
        assert (await found.end_of(behind)).state == "done"
        assert (await found.end_of(head)).state == "cancelled"
        assert ran == [2]
        again = await found.dispatcher.replay(head, Replay(), actor="test")
        await found.until(again.id, "done")
    assert ran == [2, 1]


async def test_a_merged_run_is_late_only_when_its_newest_event_is(settings: Settings) -> None:
    @function(deadline=5, lane="number", burst=Merge(quiet_seconds=0, cap_seconds=0.01))
    async def merged(event: Task, ctx: Context) -> list[int]:
        return [one.urgency for one in ctx.merged]  # type: ignore[attr-defined]

    async with platform(settings, Registry([merged], [])) as found:
        first = await found.dispatcher.dispatch(Task(number=1, urgency=7))
        async with found.database.engine() as connection:
            await connection.execute("UPDATE work SET late_at = late_at - interval '6 s'")
        second = await found.dispatcher.dispatch(Task(number=1))
    async with working(settings, [merged]) as found:
        assert (await found.end_of(second.id)).result == "[7]"
        assert (await found.end_of(first.id)).state == "done"


async def test_only_errors_that_repeating_may_cure_are_repeated(settings: Settings) -> None:
    @function(timeout=0.05, retry=Retry(3, steps_seconds=(0.01,), on=(ConnectionError,)))
    async def careful(event: Task, ctx: Context) -> None:
        if event.number == 1:
            raise ConnectionResetError("again")
        if event.number == 2:
            raise ValueError("for good")
        await asyncio.sleep(60)

    async with working(settings, [careful]) as found:
        ends = await asyncio.gather(*[found.run(Task(number=number)) for number in (1, 2, 3)])
        details = [await found.invocations.get(end.id) for end in ends]
    assert [end.state for end in ends] == ["dead"] * 3
    assert [len(one.failures) for one in details if one] == [3, 1, 1]


async def test_a_head_start_out_of_range_names_its_field(settings: Settings) -> None:
    @function(priority="urgency")
    async def urgent(event: Task, ctx: Context) -> None: ...

    async with platform(settings, Registry([urgent], [])) as found:
        for wrong in (-1, 86_401):
            with pytest.raises(InvalidEvent, match="urgency: 0 to 86400") as caught:
                await found.dispatcher.dispatch(Task(urgency=wrong))
            assert caught.value.problems[0]["field"] == "urgency"


@given(st.lists(st.integers(0, 86_400), min_size=1, max_size=12))
@examples(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_a_head_start_counts_as_having_come_that_much_earlier(
    settings: Settings, starts: list[int]
) -> None:
    order: list[int] = []

    @function(priority="urgency", concurrency=1)
    async def urgent(event: Task, ctx: Context) -> None:
        order.append(event.number)

    async with platform(settings, Registry([urgent], [])) as found:
        for number, start in enumerate(starts):
            await found.dispatcher.dispatch(Task(number=number, urgency=start))
    async with working(settings, [urgent]) as found:
        await found.zero("SELECT count(*) FROM work")
    assert order == sorted(range(len(starts)), key=lambda number: (-starts[number], number))
