"""A turn ends and claims; epochs and workers fence what is late."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from state.database import PLANNER, Connection, connect
from state.dispatch import CONFLICT, NEW, REPEATED, Asked, Stored, dispatch
from state.errors import WorkerEnded
from state.functions import Declared, number_functions
from state.leases import leave, register_worker
from state.work import DEAD, DONE, HANDED_BACK, RETRY, SNOOZE, Claimed, Finish, Wanted, turn


class Desk:
    """One worker's connection and number, with short words for turns."""

    def __init__(self, connection: Connection, worker: int, fn: int) -> None:
        self.connection, self.worker, self.fn = connection, worker, fn

    async def claim(self, most: int = 10, after: int = -1, fn: int | None = None) -> list[Claimed]:
        return await self.end([], most, after, fn)

    async def end(
        self, finished: list[Finish], most: int = 10, after: int = -1, fn: int | None = None
    ) -> list[Claimed]:
        wanted = [Wanted(fn or self.fn, most, True, after)] if most else []
        turned = await turn(self.connection, self.worker, finished=finished, wanted=wanted)
        self.fenced = turned.fenced
        return turned.claimed

    async def ask(self, *events: str, **fields: object) -> list[Stored]:
        asked = [Asked(**{"tenant": 1, "fn": self.fn, "event": e, **fields}) for e in events]  # type: ignore[arg-type]
        return await dispatch(self.connection, asked)


def end(claimed: Claimed, kind: bytes = DONE, **fields: object) -> Finish:
    values = {"attempt": 1, "body": '"ok"', **fields}
    return Finish(
        id=claimed.id,
        epoch=claimed.epoch,
        tenant=claimed.tenant,
        lane=claimed.lane,
        kind=kind,
        **values,  # type: ignore[arg-type]
    )


async def open_desk(dsn: str) -> Desk:
    connection = await connect(dsn, application="test", settings=PLANNER)
    numbers = await number_functions(
        connection, [Declared("plain", None, None), Declared("merging", 0.5, 2.0)]
    )
    return Desk(connection, await register_worker(connection, 30, False), numbers["plain"])


@pytest.fixture
async def desk(database_dsn: str) -> AsyncIterator[Desk]:
    desk = await open_desk(database_dsn)
    yield desk
    await desk.connection.close()


@pytest.fixture
async def other(database_dsn: str) -> AsyncIterator[Desk]:
    desk = await open_desk(database_dsn)
    yield desk
    await desk.connection.close()


async def test_what_one_worker_has_claimed_another_does_not_get(desk: Desk, other: Desk) -> None:
    await desk.ask("{}")
    assert len(await desk.claim()) == 1
    assert await other.claim() == []


async def test_an_end_is_stored_once_and_its_repeat_is_fenced(desk: Desk) -> None:
    await desk.ask("{}")
    (claimed,) = await desk.claim()
    await desk.end([end(claimed)])
    assert desk.fenced == []
    await desk.end([end(claimed, body='"again"')])
    assert desk.fenced == [claimed.id]
    rows = await desk.connection.fetch("SELECT result FROM outcome")
    assert [row["result"] for row in rows] == ['"ok"']


async def test_a_late_end_under_an_old_epoch_changes_nothing(desk: Desk, other: Desk) -> None:
    await desk.ask("{}")
    (old,) = await desk.claim()
    await desk.end([end(old, HANDED_BACK)], most=0)
    (new,) = await other.claim()
    assert new.epoch == old.epoch + 1
    await desk.end([end(old)])
    assert desk.fenced == [old.id]
    assert await desk.connection.fetchval("SELECT count(*) FROM outcome") == 0


async def test_a_lane_gives_one_at_a_time_in_order(desk: Desk, other: Desk) -> None:
    stored = await desk.ask('"a"', '"b"', '"c"', lane=7)
    seen = []
    claimed = await desk.claim()
    while claimed:
        assert len(claimed) == 1
        assert await other.claim() == []
        seen += claimed
        claimed = await desk.end([end(claimed[0])])
    assert [one.id for one in seen] == [one.id for one in stored]
    assert [one.event for one in seen] == ['"a"', '"b"', '"c"']


async def test_what_is_dispatched_into_a_busy_lane_follows_without_a_bell(desk: Desk) -> None:
    await desk.ask('"a"', lane=7)
    (first,) = await desk.claim()
    await desk.ask('"b"', lane=7)
    (second,) = await desk.end([end(first)], most=0)
    assert second.event == '"b"'
    assert second.epoch == first.epoch


async def test_a_failed_head_keeps_its_lane_waiting(desk: Desk) -> None:
    await desk.ask('"a"', '"b"', lane=7)
    (head,) = await desk.claim()
    assert await desk.end([end(head, RETRY, delay_seconds=60, cause="error")]) == []
    assert await desk.claim() == []
    await desk.connection.execute("UPDATE lane SET run_at = clock_timestamp()")
    await desk.connection.execute("UPDATE work SET run_at = clock_timestamp()")
    (again,) = await desk.claim()
    assert (again.id, again.errors) == (head.id, 1)


async def test_a_snooze_counts_no_failed_attempt(desk: Desk) -> None:
    await desk.ask("{}")
    (claimed,) = await desk.claim()
    await desk.end([end(claimed, SNOOZE, delay_seconds=0)], most=0)
    (again,) = await desk.claim()
    assert (again.errors, again.crashes) == (0, 0)


async def test_shops_get_equal_shares_however_much_one_of_them_asks(desk: Desk) -> None:
    await desk.ask(*["{}"] * 50, tenant=1)
    await desk.ask(*["{}"] * 5, tenant=2)
    tenants = [one.tenant for one in await desk.claim(most=8)]
    assert sorted(tenants) == [1, 1, 1, 1, 2, 2, 2, 2]


async def test_what_a_small_shop_leaves_goes_to_the_others(desk: Desk) -> None:
    await desk.ask(*["{}"] * 50, tenant=1)
    await desk.ask("{}", tenant=2)
    assert len(await desk.claim(most=8)) == 8


async def test_the_shop_after_the_one_served_last_comes_first(desk: Desk) -> None:
    for tenant in (1, 2, 3):
        await desk.ask("{}", "{}", tenant=tenant)
    (first,) = await desk.claim(most=1, after=1)
    (second,) = await desk.claim(most=1, after=first.tenant)
    (third,) = await desk.claim(most=1, after=second.tenant)
    assert [first.tenant, second.tenant, third.tenant] == [2, 3, 1]


async def test_lanes_of_shops_get_equal_shares_too(desk: Desk) -> None:
    for lane in range(20):
        await desk.ask("{}", tenant=1, lane=lane)
    for lane in range(3):
        await desk.ask("{}", tenant=2, lane=lane)
    tenants = [one.tenant for one in await desk.claim(most=6)]
    assert sorted(tenants) == [1, 1, 1, 2, 2, 2]


async def test_children_are_stored_with_the_outcome(desk: Desk) -> None:
    await desk.ask("{}")
    (claimed,) = await desk.claim()
    children = [Asked(1, desk.fn, '"one"', lane=3), Asked(1, desk.fn, '"two"', lane=3)]
    await desk.end([end(claimed, children=children)], most=0)
    (head,) = await desk.claim()
    assert head.event == '"one"'
    (following,) = await desk.end([end(head)])
    assert following.event == '"two"'


async def test_a_fenced_end_stores_no_children(desk: Desk, other: Desk) -> None:
    await desk.ask("{}")
    (old,) = await desk.claim()
    await desk.end([end(old, HANDED_BACK)], most=0)
    await other.claim()
    await desk.end([end(old, children=[Asked(1, desk.fn, '"child"')])], most=0)
    events = await desk.connection.fetch("SELECT event FROM invocation")
    assert [row["event"] for row in events] == ["{}"]


async def test_a_worker_that_was_declared_dead_can_do_nothing(desk: Desk, other: Desk) -> None:
    await desk.ask("{}", '"lane"', lane=4)
    claimed = await desk.claim()
    await leave(other.connection, desk.worker)
    with pytest.raises(WorkerEnded):
        await desk.claim()
    with pytest.raises(WorkerEnded):
        await desk.end([end(one) for one in claimed])
    assert len(await other.claim()) == len(claimed)


async def test_a_dead_one_raises_an_alert_and_keeps_its_reason(desk: Desk) -> None:
    await desk.ask("{}")
    (claimed,) = await desk.claim()
    await desk.end([end(claimed, DEAD, body="no luck", cause="error")], most=0)
    alert = await desk.connection.fetchrow("SELECT kind, subject, message FROM alert")
    assert tuple(alert) == ("dead", claimed.id, "no luck")
    failure = await desk.connection.fetchrow("SELECT attempt, kind, message FROM failure")
    assert tuple(failure) == (1, "error", "no luck")


async def test_a_key_makes_a_repeat_the_same_invocation(desk: Desk) -> None:
    (first,) = await desk.ask("{}", key="k", fingerprint="f")
    (again,) = await desk.ask("{}", key="k", fingerprint="f")
    (foreign,) = await desk.ask("{}", key="k", fingerprint="g")
    (elsewhere,) = await desk.ask("{}", key="k", fingerprint="f", tenant=2)
    assert first.fate == NEW
    assert (again.id, again.fate) == (first.id, REPEATED)
    assert foreign.fate == CONFLICT
    assert elsewhere.fate == NEW
    assert len(await desk.claim()) == 2


async def test_the_same_key_twice_in_one_flush_is_one_invocation(desk: Desk) -> None:
    first, again, without = await dispatch(
        desk.connection,
        [
            Asked(1, desk.fn, "{}", key="k", fingerprint="f"),
            Asked(1, desk.fn, "{}", key="k", fingerprint="f"),
            Asked(1, desk.fn, "{}"),
        ],
    )
    assert (first.fate, again.fate, without.fate) == (NEW, REPEATED, NEW)
    assert first.id == again.id != without.id


async def test_a_key_that_two_store_at_once_is_one_invocation(desk: Desk, other: Desk) -> None:
    for number in range(20):
        both = await asyncio.gather(
            desk.ask("{}", key=f"k{number}", fingerprint="f"),
            other.ask("{}", key=f"k{number}", fingerprint="f"),
        )
        (one,), (two,) = both
        assert one.id == two.id
        assert sorted((one.fate, two.fate)) == [NEW, REPEATED]


async def test_within_a_lane_ids_follow_the_order_of_commits(desk: Desk, other: Desk) -> None:
    async with desk.connection.transaction():
        (held,) = await desk.ask('"first"', lane=9)
        late = asyncio.create_task(other.ask('"second"', lane=9))
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        async with asyncio.timeout(5):
            while not await desk.connection.fetchval(waiting):
                await asyncio.sleep(0.01)
    (after,) = await late
    assert held.id < after.id


async def test_merged_events_are_one_run_of_the_newest(desk: Desk, other: Desk) -> None:
    numbers = await number_functions(desk.connection, [Declared("merging", 0.5, 2.0)])
    fn = numbers["merging"]
    for text in ('"one"', '"two"', '"three"'):
        await desk.ask(text, fn=fn, lane=5, delay_seconds=0.5, cap_seconds=2.0)
    assert await desk.claim(fn=fn) == []
    claimed: list[Claimed] = []
    async with asyncio.timeout(5):
        while not claimed:
            claimed = await desk.claim(fn=fn)
    (run,) = claimed
    assert run.event == '"three"'
    merged = list(run.merged or ())
    assert len(merged) == 2
    ends = [end(run), *(end(run._replace(id=one)) for one in merged)]
    assert await desk.end(ends, fn=fn) == []
    assert await desk.connection.fetchval("SELECT count(*) FROM work") == 0
    assert await desk.connection.fetchval("SELECT count(*) FROM outcome") == 3


async def test_a_stream_of_merged_events_starts_at_the_cap(desk: Desk, other: Desk) -> None:
    # A quiet time that no machine needs between two statements: only the cap can end it.
    numbers = await number_functions(desk.connection, [Declared("patient", 1.5, 2.0)])
    fn = numbers["patient"]
    loop = asyncio.get_running_loop()
    began = loop.time()
    claimed: list[Claimed] = []
    while not claimed:
        await desk.ask("{}", fn=fn, lane=5, delay_seconds=1.5, cap_seconds=2.0)
        claimed = await other.claim(fn=fn)
        assert loop.time() - began < 10, "never started"
    assert loop.time() - began >= 1.99
    assert len(claimed[0].merged or ()) > 1


async def test_what_is_claimed_while_others_dispatch_is_always_handed_over(
    desk: Desk, other: Desk
) -> None:
    """A claim may see work that is younger than its statement; its event must come with it."""
    stop = asyncio.Event()

    async def ask_on() -> int:
        asked = 0
        while not stop.is_set():
            await other.ask("{}")
            asked += 1
        return asked

    asking = asyncio.create_task(ask_on())
    seen: set[int] = set()
    async with asyncio.timeout(30):
        while len(seen) < 600:
            seen |= {one.id for one in await desk.claim(most=50)}
    stop.set()
    asked = await asking
    seen |= {one.id for one in await desk.claim(most=asked)}
    assert len(seen) == asked
