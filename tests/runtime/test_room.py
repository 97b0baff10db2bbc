"""How many attempts run at once, and who gets the next place."""

import asyncio
from datetime import UTC, datetime

import pytest

import runtime.runner
from runtime import Context, Event, Retry, function
from runtime.attempt import BY_REQUEST, Attempt
from runtime.pool import Pool
from runtime.settings import Settings
from runtime.worker import CONNECTIONS
from state.work import CANCELLED, DONE, Claimed, Finish, Turn
from tests.runtime.harness import working


class Entry(Event):
    line: int = 0
    book: str | None = None
    seconds: float = 0.005


class Passing(Event):
    pass


async def test_lanes_do_not_get_more_places_than_the_function_has(settings: Settings) -> None:
    running = most = 0

    @function(lane="book", concurrency=3)
    async def write(event: Entry, ctx: Context) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(event.seconds)
        running -= 1

    async with working(settings, [write]) as platform:
        events = [Entry(line=number, book=str(number % 12)) for number in range(120)]
        await platform.dispatcher.dispatch_many(events)
        await platform.zero("SELECT count(*) FROM work")
    assert most == 3


async def test_a_lane_without_end_does_not_keep_the_only_place_for_itself(
    settings: Settings,
) -> None:
    seen: list[str] = []

    @function(lane="book", concurrency=1)
    async def write(event: Entry, ctx: Context) -> None:
        await asyncio.sleep(event.seconds)
        seen.append(event.book or "none")

    async with working(settings, [write]) as platform:
        long = [Entry(line=number, book="long", seconds=0.02) for number in range(100)]
        await platform.dispatcher.dispatch_many(long, tenant=1)
        while len(seen) < 5:
            await asyncio.sleep(0.005)
        short = await platform.dispatcher.dispatch(Entry(book="short"), tenant=2, wait=True)
        await platform.end_of(short.id)
        assert seen.count("long") < 50, "the short lane waited for the whole long one"
        await platform.zero("SELECT count(*) FROM work")
    assert seen.count("long") == 100


async def test_a_lane_that_was_given_up_goes_on_at_once_when_nobody_else_waits(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.runner, "LOOK_SECONDS", 3600)  # no look by chance saves it
    lines: list[int] = []

    @function(lane="book", concurrency=1)
    async def write(event: Entry, ctx: Context) -> None:
        await asyncio.sleep(event.seconds)
        lines.append(event.line)

    async with working(settings, [write]) as platform:
        events = [Entry(line=number, book="a", seconds=0.06) for number in range(20)]
        await platform.dispatcher.dispatch_many(events)
        await platform.zero("SELECT count(*) FROM work")
    assert lines == list(range(20))


@pytest.mark.parametrize("lanes", [False, True])
async def test_a_shop_finds_a_place_though_another_has_more_work_than_there_are_places(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, lanes: bool
) -> None:
    monkeypatch.setattr(runtime.runner, "LOOK_SECONDS", 3600)  # no look by chance saves it
    gate, begun = asyncio.Event(), asyncio.Semaphore(0)
    running = most = 0

    @function(lane="book", concurrency=20)
    async def write(event: Entry, ctx: Context) -> None:
        nonlocal running, most
        if not event.seconds:
            return
        running += 1
        most = max(most, running)
        begun.release()
        await gate.wait()
        running -= 1

    async with working(settings, [write]) as platform:
        for tenant in (1, 2):
            await platform.run(Entry(seconds=0), tenant=tenant)
        flood = [Entry(book=str(number) if lanes else None) for number in range(60)]
        await platform.dispatcher.dispatch_many(flood, tenant=1)
        for _ in range(19):
            await begun.acquire()
        for book in (None, "of another"):
            assert (await platform.run(Entry(book=book, seconds=0), tenant=2)).state == "done"
        assert most == 19
        gate.set()
        await platform.zero("SELECT count(*) FROM work")


@pytest.mark.parametrize("lanes", [False, True])
async def test_a_shop_whose_place_is_free_again_is_a_newcomer(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, lanes: bool
) -> None:
    monkeypatch.setattr(runtime.runner, "LOOK_SECONDS", 3600)  # no look by chance saves it
    gates = {line: asyncio.Event() for line in (1, 2)}
    begun = asyncio.Semaphore(0)

    @function(lane="book", concurrency=40)
    async def write(event: Entry, ctx: Context) -> None:
        begun.release()
        if event.line:
            await gates[event.line].wait()

    @function()
    async def pass_by(event: Passing, ctx: Context) -> None: ...

    silent = settings.model_copy(update={"redis_url": None})  # nor a bell that comes late
    async with working(silent, [write, pass_by]) as platform:
        for tenant in (1, 2):
            await platform.run(Entry(), tenant=tenant)
        flood = [Entry(line=1, book=str(number) if lanes else None) for number in range(50)]
        for one in flood:  # one by one: each with a NOTIFY
            await platform.dispatcher.dispatch(one, tenant=1)
        for _ in range(2 + 38):
            await begun.acquire()
        first, second = [
            await platform.dispatcher.dispatch(
                Entry(line=line, book=str(line) if lanes else None), tenant=2, wait=True
            )
            for line in (2, 0)
        ]
        await begun.acquire()
        await platform.run(Passing())  # by now the worker has looked for the second, in vain
        gates[2].set()
        for each in (first, second):
            assert (await platform.end_of(each.id)).state == "done"
        gates[1].set()
        await platform.zero("SELECT count(*) FROM work")


def claimed(number: int, lane: int | None) -> Claimed:
    return Claimed(number, 1, 1, lane, 1, 0, 0, "{}", None, datetime.now(UTC), None)


async def done(attempt: Attempt) -> Finish:
    one = attempt.claimed
    return Finish(one.id, one.epoch, one.tenant, one.lane, DONE, 1)


async def test_an_attempt_that_is_stopped_before_it_begins_leaves_its_place(
    settings: Settings,
) -> None:
    @function(concurrency=1)
    async def write(event: Entry, ctx: Context) -> None: ...

    ran: list[int] = []

    async def run(attempt: Attempt) -> Finish:
        ran.append(attempt.claimed.id)
        return attempt.stopped()

    pool = Pool({1: write}, run, None)
    pool.look([1])
    _, wanted = pool.take()
    pool.taken(Turn([claimed(7, None)], [], [], {}), wanted)
    pool.stop([7], BY_REQUEST)
    while pool.running():
        await asyncio.sleep(0)
    (finish,), _ = pool.take()
    assert (finish.id, finish.kind, ran) == (7, CANCELLED, [])


async def test_the_next_event_of_a_lane_that_is_ours_is_no_find() -> None:
    """Bells that lead to nothing else are left to ring for longer (Runner.bell_pause_seconds)."""

    @function(lane="book", concurrency=9)
    async def write(event: Entry, ctx: Context) -> None: ...

    pool = Pool({1: write}, done, None)

    async def in_vain_after(number: int, lane: int) -> int:
        """Hear a bell, store what ended, and look: this event is what comes of it."""
        while pool.running():
            await asyncio.sleep(0)
        pool.bells_in_vain += 1
        pool.look([1])
        _, wanted = pool.take()
        pool.taken(Turn([claimed(number, lane)], [], [], {}), wanted)
        return pool.bells_in_vain

    assert [await in_vain_after(number, 5) for number in (1, 2, 3)] == [0, 1, 2]
    assert await in_vain_after(4, 6) == 0


async def test_a_shop_alone_has_every_place(settings: Settings) -> None:
    everybody = asyncio.Barrier(20)

    @function(concurrency=20)
    async def write(event: Entry, ctx: Context) -> None:
        await everybody.wait()

    async with working(settings, [write]) as platform:
        await platform.dispatcher.dispatch_many([Entry()] * 40)
        await platform.zero("SELECT count(*) FROM work")


async def test_steps_are_recorded_while_every_connection_is_in_a_transaction(
    settings: Settings,
) -> None:
    """More attempts than the pool has connections: each waits in its transaction for its step."""
    everybody, inside = asyncio.Barrier(9), asyncio.Barrier(CONNECTIONS)

    @function(retry=Retry(attempts=1))
    async def pay(event: Entry, ctx: Context) -> None:
        async def call() -> int:
            await everybody.wait()
            return event.line

        await ctx.step("call", call)
        if event.line == 0:
            return  # the first answer is on its way when the others begin their transactions
        async with ctx.transaction():
            await inside.wait()

    async with working(settings, [pay]) as platform:
        ids = await platform.dispatcher.dispatch_many([Entry(line=n) for n in range(9)])
        for number in ids:
            assert (await platform.end_of(number, seconds=8)).state == "done"


async def test_ends_that_postgres_refuses_hold_up_no_others_and_give_their_places_back() -> None:
    @function(lane="book", concurrency=3)
    async def write(event: Entry, ctx: Context) -> None: ...

    pool = Pool({1: write}, done, None)
    pool.look([1])
    _, wanted = pool.take()
    pool.taken(Turn([claimed(number, number) for number in (1, 2, 3)], [], [], {}), wanted)
    while pool.running():
        await asyncio.sleep(0)
    taken: list[list[int]] = []
    for refused in (True, True, False, False, False):  # all three, then the first by itself
        finished, wanted = pool.take()
        taken.append([one.id for one in finished])
        if refused:
            pool.reject(wanted, "it holds what Postgres cannot")
        else:
            pool.taken(Turn([], [], [], {}), wanted)
    assert taken == [[1, 2, 3], [1], [2], [3], [1]]
    assert pool.empty()
    pool.look([1])
    (want,) = pool.take()[1]
    assert want.most == 3
