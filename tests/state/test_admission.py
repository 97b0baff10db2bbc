"""Who may start: the rules of slots and permits, with a clock that the test sets."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from runtime.limits import Rate
from state.admission import FENCED, LATE, NEVER, PERMIT, SLOT, START, Admitted, Asking, Pace, admit
from state.database import PLANNER, Connection, connect
from state.dispatch import Asked, dispatch
from state.leases import leave, register_worker, sweep
from state.work import DEAD, HANDED_BACK, SNOOZE, Claimed, Finish, Wanted, turn

FN = 1
FAKE_CLOCK = """
CREATE SCHEMA fake;
CREATE FUNCTION fake.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT 'epoch'::timestamptz + make_interval(secs => current_setting('fake.now')::float8)
$$;
CREATE FUNCTION fake.statement_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT fake.clock_timestamp()
$$
"""


class Desk:
    """A worker's connection, and work that it holds; the clock stands until it is set."""

    def __init__(self, connection: Connection, worker: int) -> None:
        self.connection, self.worker = connection, worker
        self.at = 1_000_000.0

    async def pass_to(self, at: float) -> None:
        self.at = at
        await self.connection.execute(f"SET fake.now = '{at}'")

    async def claim(self, most: int = 500) -> list[Claimed]:
        turned = await turn(
            self.connection, self.worker, finished=[], wanted=[Wanted(FN, most, True, -1)]
        )
        return turned.claimed

    async def work(
        self, count: int = 1, *, late_in: float | None = None, lanes: bool = False, shop: int = 1
    ) -> list[Claimed]:
        """Store work, each in a lane of its own or in none, and claim it."""
        if lanes:
            asked = [Asked(1, FN, "{}", lane=number) for number in range(count)]
            await dispatch(self.connection, asked)
            return sorted(await self.claim(), key=lambda one: one.id)
        await self.connection.execute(
            "WITH new AS MATERIALIZED ("
            " SELECT nextval('invocation_id') AS id FROM generate_series(1, $1)), asked AS ("
            " INSERT INTO invocation (id, tenant, fn, event, created_at)"
            " SELECT id, $3, 1, '{}', clock_timestamp() FROM new)"
            "INSERT INTO work (id, tenant, fn, run_at, late_at)"
            " SELECT id, $3, 1, clock_timestamp(),"
            " clock_timestamp() + make_interval(secs => $2) FROM new",
            *(count, late_in, shop),
        )
        return sorted(await self.claim(), key=lambda one: one.id)

    async def ask(self, claimed: Sequence[Claimed], **limits: Any) -> list[Admitted]:
        asking = [Asking(one.id, one.epoch, FN, one.tenant, **limits) for one in claimed]
        found = await admit(self.connection, self.worker, asking)
        return [found[one.id] for one in claimed]

    async def verdicts(self, claimed: Sequence[Claimed], **limits: Any) -> bytes:
        return b"".join(one.verdict for one in await self.ask(claimed, **limits))

    async def end(self, claimed: Sequence[Claimed], kind: bytes = DEAD, **fields: Any) -> None:
        finished = [
            Finish(one.id, one.epoch, one.tenant, one.lane, kind, 1, "over", **fields)
            for one in claimed
        ]
        await turn(self.connection, self.worker, finished=finished, wanted=[])

    async def count(self, table: str) -> int:
        return int(await self.connection.fetchval(f"SELECT count(*) FROM {table}"))


@contextlib.asynccontextmanager
async def desk_on(dsn: str, worker: int | None = None) -> AsyncIterator[Desk]:
    settings = {**PLANNER, "search_path": "fake, pg_catalog, public", "fake.now": "1000000"}
    connection = await connect(dsn, application="test", role=None, settings=settings)
    try:
        if not await connection.fetchval("SELECT count(*) FROM pg_namespace WHERE nspname='fake'"):
            await connection.execute(FAKE_CLOCK)
        found = worker or await register_worker(connection, 1e6, False)
        yield Desk(connection, found)
    finally:
        await connection.close()


@pytest.fixture
async def desk(database_dsn: str) -> AsyncIterator[Desk]:
    async with desk_on(database_dsn) as desk:
        yield desk


@pytest.fixture
async def other(database_dsn: str, desk: Desk) -> AsyncIterator[Desk]:
    async with desk_on(database_dsn) as other:
        yield other


def pace(limit: int = 10, per_seconds: float = 100, burst: int = 1, key: int = 0) -> Pace:
    rate = Rate(limit, per_seconds, burst=burst)
    return Pace(1, key, rate.pace_seconds, rate.credit_seconds, rate.grace_seconds)


async def test_each_gets_a_slot_of_its_own_in_the_order_of_asking(desk: Desk) -> None:
    claimed = await desk.work(4)
    told = await desk.ask(claimed, pace=pace())
    assert [one.verdict for one in told] == [START, SLOT, SLOT, SLOT]
    step = pace().seconds
    waits = [one.seconds for one in told[1:]]
    assert waits == pytest.approx([step - 1, 2 * step - 1, 3 * step - 1])  # 1 s of grace
    (later,) = await desk.ask(await desk.work(), pace=pace())
    assert later.seconds == pytest.approx(4 * step - 1)


async def test_whoever_asks_again_finds_the_slot_it_has(desk: Desk) -> None:
    first, second, third = await desk.work(3)
    await desk.ask([first], pace=pace())
    told = await desk.ask([third], pace=pace())
    await desk.ask([second], pace=pace())
    assert await desk.ask([third], pace=pace()) == told
    await desk.pass_to(desk.at + told[0].seconds - 0.01)
    assert await desk.verdicts([third], pace=pace()) == SLOT
    await desk.pass_to(desk.at + 0.01)
    assert await desk.verdicts([second, third], pace=pace()) == SLOT + START


async def test_a_burst_starts_at_once_and_is_counted(desk: Desk) -> None:
    claimed = await desk.work(12)
    told = await desk.ask(claimed, pace=pace(limit=10, burst=4))
    assert [one.verdict for one in told].count(START) == 4
    within = [one for one in told if one.verdict == START or one.seconds < 100]
    assert len(within) == 10


async def test_lines_of_other_keys_and_shops_are_their_own(desk: Desk) -> None:
    claimed = await desk.work(3)
    assert await desk.verdicts(claimed[:1], pace=pace(key=1)) == START
    assert await desk.verdicts(claimed[1:2], pace=pace(key=2)) == START
    assert await desk.verdicts(claimed[2:], pace=pace(key=1)._replace(tenant=2)) == START


async def test_one_that_comes_late_moves_the_line_back_and_no_two_start_together(
    desk: Desk,
) -> None:
    claimed = await desk.work(3)
    told = await desk.ask(claimed, pace=pace())
    await desk.pass_to(desk.at + told[2].seconds)  # the second and the third come together
    told = await desk.ask(claimed[1:], pace=pace())
    assert [one.verdict for one in told] == [START, SLOT]
    assert told[1].seconds == pytest.approx(pace().seconds - 1)


async def test_one_that_was_overtaken_takes_the_next_slot_not_the_last(desk: Desk) -> None:
    claimed = await desk.work(30)
    told = await desk.ask(claimed, pace=pace())
    await desk.pass_to(desk.at + told[2].seconds)
    assert await desk.verdicts(claimed[2:3], pace=pace()) == START
    (lost,) = await desk.ask(claimed[1:2], pace=pace())
    assert lost.verdict == SLOT
    assert lost.seconds == pytest.approx(pace().seconds)
    await desk.pass_to(desk.at + lost.seconds)
    assert await desk.verdicts(claimed[1:2], pace=pace()) == START
    assert await desk.verdicts(claimed[3:4], pace=pace()) == SLOT, "they do not start together"


async def test_the_slots_of_those_who_left_at_the_end_are_given_again(desk: Desk) -> None:
    claimed = await desk.work(50)
    told = await desk.ask(claimed, pace=pace())
    await desk.end(claimed[2:])
    assert await desk.count("rate_slot") == 1
    (later,) = await desk.ask(await desk.work(), pace=pace())
    assert later == told[2]


async def test_a_cancelled_one_leaves_no_reservation_and_no_place(desk: Desk) -> None:
    claimed = await desk.work(4)
    both = {"pace": pace(), "fleet": 1}
    assert await desk.verdicts(claimed[:2], **both) == START + PERMIT
    assert await desk.verdicts(claimed[2:], pace=pace()) == SLOT + SLOT
    waiting = [claimed[1], claimed[2]]
    await desk.end(waiting, SNOOZE, delay_seconds=60)
    for one in waiting:
        await desk.connection.fetchval("SELECT cancel_invocation($1)", one.id)
    await desk.end([claimed[0], claimed[3]])
    assert [await desk.count(table) for table in ("rate_slot", "permit", "gate")] == [0, 0, 0]


async def test_what_would_be_too_late_at_its_slot_takes_none(desk: Desk) -> None:
    claimed = await desk.work(2, late_in=15)
    assert await desk.verdicts(claimed, pace=pace()) == START + SLOT
    hopeless = await desk.work(40, late_in=15)
    assert await desk.verdicts(hopeless, pace=pace()) == NEVER * 40
    (told,) = await desk.ask(await desk.work(), pace=pace())
    assert told.seconds == pytest.approx(2 * pace().seconds - 1), "the dead hold nobody up"
    await desk.pass_to(desk.at + 16)
    assert await desk.verdicts(hopeless, pace=pace()) == LATE * 40


async def test_who_lost_its_work_may_not_start_and_disturbs_nobody(desk: Desk, other: Desk) -> None:
    (old,) = await desk.work()
    limits = {"key": 7, "per_key": 1}
    await desk.end([old], HANDED_BACK)
    (new,) = await other.claim()
    assert await other.verdicts([new], **limits) == START
    assert await desk.verdicts([old], **limits) == FENCED
    (third,) = await desk.work()
    assert await desk.verdicts([third], **limits) == PERMIT


async def test_the_newest_of_a_merged_run_takes_over_the_slot_of_the_oldest(desk: Desk) -> None:
    first, second, third, newest = await desk.work(4)
    told = await desk.ask([first, second, third], pace=pace())
    asking = Asking(newest.id, newest.epoch, FN, 1, pace(), elders=[second.id, third.id])
    found = await admit(desk.connection, desk.worker, [asking])
    assert found[newest.id] == told[1]
    assert await desk.count("rate_slot") == 1


async def test_no_more_than_may_run_with_one_key_and_the_next_is_called(desk: Desk) -> None:
    claimed = await desk.work(5)
    limits = {"key": 7, "per_key": 2}
    assert await desk.verdicts(claimed, **limits) == START * 2 + PERMIT * 3
    assert await desk.verdicts(await desk.work(), key=8, per_key=2) == START
    await desk.end(claimed[2:], SNOOZE, delay_seconds=300)
    assert await desk.claim() == []
    await desk.end(claimed[:1])
    (called,) = await desk.claim()
    assert called.id == claimed[2].id
    newcomer = await desk.work()
    assert await desk.verdicts(newcomer, **limits) == PERMIT, "not before those who wait"
    assert await desk.verdicts([called], **limits) == START


async def test_whoever_is_put_back_while_a_permit_comes_free_is_called(desk: Desk) -> None:
    first, second = await desk.work(2)
    assert await desk.verdicts([first, second], fleet=1) == START + PERMIT
    await desk.end([first])
    await desk.end([second], SNOOZE, delay_seconds=300)
    (called,) = await desk.claim()
    assert await desk.verdicts([called], fleet=1) == START


async def test_a_head_that_is_put_back_while_a_permit_comes_free_is_called(desk: Desk) -> None:
    first, second = await desk.work(2, lanes=True)
    assert await desk.verdicts([first, second], fleet=1) == START + PERMIT
    await desk.end([first])
    await desk.end([second], SNOOZE, delay_seconds=300)
    (called,) = await desk.claim()
    assert (called.id, called.lane) == (second.id, second.lane)
    assert await desk.verdicts([called], fleet=1) == START
    await desk.end([called])
    assert await desk.count("gate") == 0


async def test_the_fleet_is_full_whatever_the_key(desk: Desk, other: Desk) -> None:
    mine, others = await desk.work(2), await other.work(1)
    assert await desk.verdicts(mine[:1], key=1, per_key=1, fleet=2) == START
    assert await other.verdicts(others, key=2, per_key=1, fleet=2) == START
    assert await desk.verdicts(mine[1:], key=3, per_key=1, fleet=2) == PERMIT
    (third,) = await desk.work()
    await other.end(others)
    assert await desk.verdicts([third], key=3, per_key=1, fleet=2) == PERMIT, "the other waits"
    assert await desk.verdicts(mine[1:], key=3, per_key=1, fleet=2) == START


async def test_whoever_waits_for_the_fleet_keeps_its_place_at_its_key(desk: Desk) -> None:
    first, second, third = await desk.work(3)
    limits = {"per_key": 1, "fleet": 1}
    assert await desk.verdicts([first], key=1, **limits) == START
    assert await desk.verdicts([second, third], key=2, **limits) == PERMIT * 2
    await desk.end([second, third], SNOOZE, delay_seconds=300)
    assert await desk.claim() == [], "there is room at its key, and none in the fleet"
    await desk.end([first])
    (called,) = await desk.claim()
    assert called.id == second.id
    assert await desk.verdicts([called], key=2, **limits) == START
    await desk.end([called])
    (called,) = await desk.claim()
    assert await desk.verdicts([called], key=2, **limits) == START
    await desk.end([called])
    assert [await desk.count(table) for table in ("permit", "gate")] == [0, 0]


async def test_in_front_of_a_full_fleet_shops_take_turns(desk: Desk) -> None:
    flood = await desk.work(6, shop=1)
    (quiet,) = await desk.work(shop=2)
    waiting = [*flood, quiet]
    assert await desk.verdicts(waiting, fleet=1) == START + PERMIT * 6
    await desk.end(waiting[1:], SNOOZE, delay_seconds=300)
    entered = [flood[0]]
    for _ in range(3):
        await desk.end(entered[-1:])
        entered += await desk.claim()
        assert await desk.verdicts(entered[-1:], fleet=1) == START
    assert [one.id for one in entered] == [flood[0].id, quiet.id, flood[1].id, flood[2].id]


async def test_permits_of_a_dead_worker_are_free_and_the_next_is_called(
    desk: Desk, other: Desk
) -> None:
    (held,) = await other.work()
    (waiting,) = await desk.work()
    assert await other.verdicts([held], fleet=1) == START
    assert await desk.verdicts([waiting], fleet=1) == PERMIT
    await desk.end([waiting], SNOOZE, delay_seconds=300)
    assert await desk.claim() == []
    await leave(desk.connection, other.worker)
    await sweep(desk.connection, desk.worker, True)
    both = sorted(await desk.claim(), key=lambda one: one.id)
    assert [one.id for one in both] == [held.id, waiting.id]
    assert await desk.verdicts(both[1:], fleet=1) == START
    assert await desk.verdicts(both[:1], fleet=1) == PERMIT
    await desk.end(both)
    assert [await desk.count(table) for table in ("permit", "gate")] == [0, 0]


async def test_one_that_was_called_and_does_not_come_holds_nobody_up(desk: Desk) -> None:
    first, lost, third = await desk.work(3)
    assert await desk.verdicts([first, lost, third], fleet=1) == START + PERMIT * 2
    await desk.end([lost, third], SNOOZE, delay_seconds=300)
    await desk.end([first])
    await desk.pass_to(desk.at + 6)  # it was called six seconds ago
    await sweep(desk.connection, desk.worker, True)
    assert third.id in {one.id for one in await desk.claim()}


async def test_a_permit_that_was_given_is_given_again_when_the_answer_was_lost(desk: Desk) -> None:
    claimed = await desk.work(2)
    assert await desk.verdicts(claimed, fleet=1) == START + PERMIT
    assert await desk.verdicts(claimed, fleet=1) == START + PERMIT
    assert await desk.count("permit") == 2


async def test_waiting_for_a_slot_holds_no_permit(desk: Desk) -> None:
    first, second, third = await desk.work(3)
    assert await desk.verdicts([first], pace=pace(), fleet=1) == START
    assert await desk.verdicts([second, third], pace=pace(), fleet=1) == PERMIT * 2
    await desk.end([second, third], SNOOZE, delay_seconds=300)
    await desk.end([first])
    (called,) = await desk.claim()
    assert await desk.verdicts([called], pace=pace(), fleet=1) == SLOT
    (next_one,) = await desk.claim()
    assert next_one.id == third.id
    assert await desk.verdicts([next_one], pace=pace(key=9), fleet=1) == START


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "come", "leave", "pass"]),
        st.integers(1, 6),
        st.floats(0, 15, allow_nan=False),
    ),
    min_size=1,
    max_size=30,
)


@given(STEPS, st.integers(1, 6), st.integers(1, 6))
@examples(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_whoever_comes_when_no_window_ever_holds_more_than_the_limit(
    desk: Desk, steps: list[tuple[str, int, float]], limit: int, burst: int
) -> None:
    """Attempts come early, in time, late or never; in the end all that stayed have started."""
    paced = pace(limit, 10, min(burst, limit))
    await desk.connection.execute("TRUNCATE work, invocation, rate, rate_slot")
    starts: list[float] = []
    waiting: dict[int, tuple[Claimed, float]] = {}

    async def come(claimed: list[Claimed]) -> None:
        for one, told in zip(claimed, await desk.ask(claimed, pace=paced), strict=True):
            waiting.pop(one.id, None)
            if told.verdict == START:
                starts.append(desk.at)
            else:
                waiting[one.id] = one, desk.at + told.seconds

    for what, count, seconds in steps:
        if what == "ask":
            await come(await desk.work(count))
        elif what == "come":
            chosen = list(waiting.values())[count - 1 :: count]  # some are overtaken
            await come([one for one, _ in chosen])
        elif what == "leave" and waiting:
            gone = [one for one, _ in list(waiting.values())[::count]]
            for one in gone:
                del waiting[one.id]
            await desk.end(gone)
        else:
            await desk.pass_to(desk.at + seconds)
    looks = 2 * len(waiting) ** 2 + 1
    while waiting and looks:
        looks -= 1
        due = min(at for _, at in waiting.values())
        await desk.pass_to(max(desk.at, due + 0.001))
        await come([one for one, at in waiting.values() if at <= desk.at])
    assert not waiting
    assert await desk.count("rate_slot") == 0
    for start in starts:
        assert sum(start <= at < start + 10 - 1e-5 for at in starts) <= limit
