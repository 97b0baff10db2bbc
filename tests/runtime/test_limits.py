"""Rates and permits: never more than was declared, nothing lost, and waiting holds no worker."""

import asyncio
import random
from collections import Counter, defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runtime import Concurrency, Context, Event, Merge, Rate, Retry, function
from runtime.errors import DeclarationError
from runtime.registry import Registry, load_registry
from runtime.settings import Settings
from runtime.worker import work
from state.database import connect
from tests.runtime.harness import Platform, platform, worker_process, working
from tests.sample.limited import PERMITS, RATE, Guarded, Metered

ONCE_AN_HOUR = Rate(1, per_seconds=3600, key="book")
MARKS = """
CREATE TABLE mark (id bigint, epoch bigint, what text, key text,
                   at timestamptz NOT NULL DEFAULT clock_timestamp())
"""
LEFT = "SELECT (SELECT count(*) FROM permit) + (SELECT count(*) FROM gate)"


class Task(Event):
    number: int = 0
    book: str | None = "a"
    shelf: str = "s"


async def handle(event: Task, ctx: Context) -> int:
    """Handle it."""
    return event.number


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: {"rate": 5}, r"did you mean Rate\(5, per_seconds=1\)\?"),
        (lambda: {"rate": Rate(1, per_seconds=1, key="bok")}, "did you mean 'book'?"),
        (lambda: {"rate": Rate(0, per_seconds=1)}, "at least 1"),
        (lambda: {"rate": Rate(1, per_seconds=0)}, "above 0"),
        (lambda: {"rate": Rate(1, per_seconds=90_000)}, "a day"),
        (lambda: {"rate": Rate(3, per_seconds=1, burst=4)}, "1 to the limit, which is 3"),
        (lambda: {"rate": Rate(3, per_seconds=1, scope="all")}, '"shop" or "installation"'),  # type: ignore[arg-type]
        (lambda: {"concurrency": "5"}, "a number, or"),
        (lambda: {"concurrency": Concurrency(9)}, "did you mean concurrency=9"),
        (lambda: {"concurrency": Concurrency(key="bok")}, "did you mean 'book'?"),
        (lambda: {"concurrency": Concurrency(per_key=2)}, "needs key="),
        (lambda: {"concurrency": Concurrency(fleet=0)}, "fleet=0"),
        (lambda: {"concurrency": Concurrency(key="book", per_key=0)}, "per_key=0"),
        (lambda: {"concurrency": Concurrency(key="book", per_key=3, fleet=2)}, "more than 2"),
    ],
)
def test_a_wrong_limit_fails_where_it_is_declared(make: Any, says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        function(**make())(handle)


async def test_what_waits_for_its_slot_holds_no_worker_and_is_no_failure(
    settings: Settings,
) -> None:
    ran: list[str | None] = []

    @function(rate=ONCE_AN_HOUR, concurrency=1)
    async def paced(event: Task, ctx: Context) -> None:
        ran.append(event.book)

    async with working(settings, [paced]) as found:
        first = await found.dispatcher.dispatch(Task(book="a"))
        await found.until(first.id, "done")
        later = await found.dispatcher.dispatch(Task(book="a"))
        for book in ("b", None, None):
            await found.run(Task(book=book))
        await found.zero("SELECT count(*) FROM work WHERE worker IS NOT NULL")
        waiting = await found.invocations.get(later.id)
        assert waiting is not None
        assert waiting.run_at is not None
        assert (waiting.state, waiting.waits_for, waiting.attempts) == ("waiting", "slot", 0)
        assert waiting.run_at - waiting.created_at > timedelta(minutes=50)
        assert await found.invocations.cancel(later.id, actor="test") == "cancelled"
        assert await found.value("SELECT count(*) FROM rate_slot") == 0
    assert ran == ["a", "b", None, None]


async def test_shops_have_lines_of_their_own_unless_they_share_one(settings: Settings) -> None:
    @function(rate=Rate(1, per_seconds=3600))
    async def apart(event: Task, ctx: Context) -> None: ...

    class Shared(Event):
        pass

    @function(rate=Rate(1, per_seconds=3600, scope="installation"))
    async def together(event: Shared, ctx: Context) -> None: ...

    async with working(settings, [apart, together]) as found:
        for tenant in (0, 7):
            await found.run(Task(), tenant=tenant)
        await found.run(Shared(), tenant=0)
        other = await found.dispatcher.dispatch(Shared(), tenant=7)
        await found.zero("SELECT 1 - count(*) FROM rate_slot")
        assert (await found.invocations.get(other.id)).waits_for == "slot"  # type: ignore[union-attr]


async def test_a_repeated_attempt_takes_a_slot_of_its_own(settings: Settings) -> None:
    @function(rate=ONCE_AN_HOUR, retry=Retry(steps_seconds=(0.01,)))
    async def paced(event: Task, ctx: Context) -> None:
        raise ValueError("again")

    async with working(settings, [paced]) as found:
        receipt = await found.dispatcher.dispatch(Task())
        await found.zero("SELECT 1 - count(*) FROM rate_slot")
        await found.until(receipt.id, "waiting")
        detail = await found.invocations.get(receipt.id)
    assert detail is not None
    assert (detail.errors, len(detail.failures), detail.waits_for) == (1, 1, "slot")


async def test_a_lane_whose_head_waits_for_its_slot_keeps_its_order(settings: Settings) -> None:
    order: list[int] = []

    @function(rate=Rate(20, per_seconds=0.4), lane="book")
    async def paced(event: Task, ctx: Context) -> None:
        order.append(event.number)

    async with working(settings, [paced]) as found:
        await found.dispatcher.dispatch_many([Task(number=number) for number in range(20)])
        await found.zero("SELECT count(*) FROM work")
        assert await found.value("SELECT count(*) FROM rate_slot") == 0
    assert order == list(range(20))


async def test_a_merged_run_starts_once_for_all_its_events(settings: Settings) -> None:
    begun: list[list[int]] = []

    @function(rate=Rate(1, per_seconds=0.5, key="shelf"), lane="book", burst=Merge(0, 0.01))
    async def merged(event: Task, ctx: Context) -> None:
        begun.append([one.number for one in (*ctx.merged, event)])  # type: ignore[attr-defined]

    async with working(settings, [merged]) as found:
        await found.run(Task(number=0))
        second = await found.dispatcher.dispatch(Task(number=1))
        await found.zero("SELECT 1 - count(*) FROM rate_slot")
        await found.until(second.id, "waiting")
        await found.dispatcher.dispatch(Task(number=2))
        await found.zero("SELECT count(*) FROM work")
        assert await found.value("SELECT count(*) FROM rate_slot") == 0
    assert begun == [[0], [1, 2]]


@pytest.mark.parametrize("per_key", [1, 2])
async def test_no_more_with_one_key_and_in_all_than_may_and_each_gets_its_turn(
    settings: Settings, per_key: int
) -> None:
    inside: Counter[str | None] = Counter()
    most: Counter[str | None] = Counter()
    order: list[int] = []

    @function(concurrency=Concurrency(key="book", per_key=per_key, fleet=3))
    async def guarded(event: Task, ctx: Context) -> None:
        for name in (event.book, "all"):
            inside[name] += 1
            most[name] = max(most[name], inside[name])
        order.append(event.number)
        await asyncio.sleep(0.005)
        inside[event.book] -= 1
        inside["all"] -= 1

    events = [Task(number=number, book="abcd"[number % 4]) for number in range(60)]
    async with working(settings, [guarded]) as found:
        await found.dispatcher.dispatch_many(events)
        await found.zero("SELECT count(*) FROM work")
        assert await found.value(LEFT) == 0
    assert most.pop("all") == 3
    assert max(most.values()) <= per_key
    assert sorted(order) == list(range(60))
    for book in range(4):
        mine = [number for number in order if number % 4 == book]
        assert per_key > 1 or mine == sorted(mine), "what was dispatched first goes first"


async def test_what_waits_for_a_permit_says_so_and_can_be_cancelled(settings: Settings) -> None:
    go = asyncio.Event()

    @function(concurrency=Concurrency(process=2, fleet=1))
    async def guarded(event: Task, ctx: Context) -> None:
        await go.wait()

    async with working(settings, [guarded]) as found:
        _, second, third = await found.dispatcher.dispatch_many([Task(), Task(), Task()])
        await found.zero("SELECT 2 - count(*) FROM permit WHERE worker IS NULL")
        await found.until(third, "waiting")
        waiting = await found.invocations.get(third)
        assert waiting is not None
        assert (waiting.waits_for, waiting.attempts) == ("permit", 0)
        await found.invocations.cancel(second, actor="test")
        go.set()
        await found.until(third, "done")
        assert await found.value(LEFT) == 0


async def test_a_killed_worker_frees_its_permits(settings: Settings, tmp_path: Path) -> None:
    async with platform(settings, load_registry("tests.sample")) as found:
        await marking(found)
        async with worker_process(settings, tmp_path) as first:
            held = await found.dispatcher.dispatch(Guarded(seconds=60))
            await found.zero("SELECT 1 - count(*) FROM mark")
            async with worker_process(settings, tmp_path):
                waiting = await found.dispatcher.dispatch(Guarded())
                await found.zero("SELECT 1 - count(*) FROM permit WHERE worker IS NULL")
                await found.until(waiting.id, "waiting")  # nobody holds it any more
                first.kill()
                await found.until(waiting.id, "done")
                await found.invocations.cancel(held.id, actor="test")  # it runs again by now
                await found.zero("SELECT count(*) FROM work")
                await found.zero(LEFT)


async def test_a_suspect_of_a_crash_that_has_to_wait_stays_one(
    settings: Settings, tmp_path: Path
) -> None:
    @function(rate=Rate(1, per_seconds=3600))
    async def paced(event: Task, ctx: Context) -> None: ...

    registry = Registry([paced], [])
    async with platform(settings, registry) as found:
        suspect = await found.dispatcher.dispatch(Task())
        async with found.database.engine() as connection:
            await connection.execute("UPDATE work SET suspect = true")
            await connection.execute(
                "INSERT INTO rate (fn, tenant, key, served, served_at)"
                " SELECT fn, 0, 0, 1, clock_timestamp() FROM function"
            )
        assert await work(settings, registry, quarantine=True) == 0  # until nothing is due
        assert await found.value("SELECT suspect FROM work WHERE id = $1", suspect.id)
        assert await found.value("SELECT count(*) FROM rate_slot") == 1


async def marking(found: Platform) -> None:
    """Give handlers a table to note in."""
    connection = await connect(found.database.dsn, application="test", role=None)
    try:
        await connection.execute(MARKS)
        if found.database.roles:
            await connection.execute("GRANT SELECT, INSERT ON mark TO nexus_app, nexus_engine")
    finally:
        await connection.close()


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_over_kills_retries_and_cancels_no_limit_is_broken_and_nothing_lost(
    settings: Settings, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    async with platform(settings, load_registry("tests.sample")) as found:
        await marking(found)
        events: dict[int, Any] = {}
        killed: list[float] = []
        cancelled: set[int] = set()
        async with worker_process(settings, tmp_path), worker_process(settings, tmp_path) as second:
            for _ in range(3):
                burst = [_event(dice, len(events) + n) for n in range(dice.randint(8, 20))]
                events |= zip(await found.dispatcher.dispatch_many(burst), burst, strict=True)
                await until_some_began(found, dice.randint(3, 8))
                for number in dice.sample(sorted(events), 2):
                    if await found.invocations.cancel(number, actor="test") != "finished":
                        cancelled.add(number)
            killed.append(await clock(found))
            second.kill()
            await second.ended()
            async with worker_process(settings, tmp_path):
                await found.zero("SELECT count(*) FROM work", seconds=90)
                await found.zero(LEFT)
        assert await found.value("SELECT count(*) FROM rate_slot") == 0
        async with found.database.engine() as connection:
            marks = await connection.fetch(
                "SELECT id, epoch, what, extract(epoch FROM at)::float8 AS at FROM mark ORDER BY at"
            )
        states = {number: (await found.invocations.get(number)).state for number in events}  # type: ignore[union-attr]
    assert {number for number, state in states.items() if state != "done"} <= cancelled
    assert set(states.values()) <= {"done", "cancelled"}
    judge_rates(events, marks)
    judge_permits(events, marks, killed[0], cancelled)
    judge_lanes(events, marks)


def _event(dice: random.Random, number: int) -> Any:
    kind = dice.choice([Metered, Guarded])
    return kind(
        key=dice.choice("aab"),
        number=number,
        line=dice.choice(["x", "y", None, None]),
        fail_first=dice.random() < 0.2,
    )


async def clock(found: Platform) -> float:
    return float(await found.value("SELECT extract(epoch FROM clock_timestamp())::float8"))


async def until_some_began(found: Platform, more: int) -> None:
    before = await found.value("SELECT count(*) FROM mark")
    open_ = "(SELECT count(*) FROM work WHERE worker IS NULL AND lane IS NULL)"
    await found.zero(f"SELECT (count(*) < {before + more} AND {open_} > 0)::int FROM mark")


def judge_rates(events: dict[int, Any], marks: Any) -> None:
    """Handlers note a moment after they were let in: a window is taken shorter by that."""
    slack = 0.2
    lines = defaultdict(list)
    for mark in marks:
        if isinstance(events[mark["id"]], Metered):
            lines[events[mark["id"]].key].append(mark["at"])
    for begun in lines.values():
        for at in begun:
            within = sum(at <= one < at + RATE.per_seconds - slack for one in begun)
            assert within <= RATE.limit


def judge_permits(
    events: dict[int, Any], marks: Any, killed_at: float, cancelled: set[int]
) -> None:
    """What has no end was killed, and ran until then at least, or was cancelled as it noted it."""
    ran: list[list[Any]] = []
    running: dict[tuple[int, int], list[Any]] = {}
    for mark in marks:
        run = mark["id"], mark["epoch"]
        if not isinstance(events[mark["id"]], Guarded):
            continue
        if mark["what"] == "begin":
            gone = mark["at"] if mark["id"] in cancelled else killed_at
            running[run] = [mark["id"], mark["at"], gone]
            ran.append(running[run])
        elif run in running:
            running[run][2] = mark["at"]
    assert ran
    for _, began, _ in ran:
        inside = Counter(events[number].key for number, start, end in ran if start <= began < end)
        assert max(inside.values(), default=0) <= PERMITS.per_key
        assert PERMITS.fleet is not None
        assert inside.total() <= PERMITS.fleet


def judge_lanes(events: dict[int, Any], marks: Any) -> None:
    """Of one function and lane, none begins before those that were dispatched before it."""
    last: dict[tuple[type, str], int] = {}
    for mark in marks:
        event = events[mark["id"]]
        if event.line is None or mark["what"] != "begin":
            continue
        line = (type(event), event.line)
        assert mark["id"] >= last.get(line, 0)
        last[line] = mark["id"]


async def test_a_worker_that_stops_in_the_middle_of_a_burst_leaves_the_places_of_all(
    settings: Settings,
) -> None:
    @function(rate=Rate(50, per_seconds=1))
    async def paced(event: Task, ctx: Context) -> None: ...

    registry = Registry([paced], [])
    async with platform(settings, registry) as found:
        await found.dispatcher.dispatch_many([Task(number=number) for number in range(40)])
        first = asyncio.create_task(work(settings, registry))
        await found.zero("SELECT (count(*) < 20)::int FROM rate_slot")
        first.cancel()
        await asyncio.wait([first])
        tickets = await found.value("SELECT count(DISTINCT ticket) FROM rate_slot")
        assert tickets == await found.value("SELECT count(*) FROM rate_slot")
    async with working(settings, [paced]) as found:
        await found.zero("SELECT count(*) FROM work")
        assert await found.value("SELECT count(*) FROM outcome WHERE state = 'd'") == 40
        assert await found.value("SELECT count(*) FROM rate_slot") == 0
