"""However much was done before, a claim reads as little as if it had been the first."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from state.work import DEAD, DONE, EVER, RETRY, Claimed, Turn, Wanted, turn
from tests.state.test_turn import Desk, end, open_desk

BACKLOG = 20_000
DUE, LINE = ("work_due", "work_ready"), ("work_line",)
READ = """
    SELECT sum(idx_blks_hit + idx_blks_read)::bigint FROM pg_statio_user_indexes
    WHERE indexrelname = ANY ($1)
"""


@pytest.fixture
async def desk(database_dsn: str) -> AsyncIterator[Desk]:
    desk = await open_desk(database_dsn)
    yield desk
    await desk.connection.close()


async def look(desk: Desk, since: datetime | None, most: int = 10) -> Turn:
    wanted = [Wanted(desk.fn, most, True, -1, (), since)]
    return await turn(desk.connection, desk.worker, finished=[], wanted=wanted)


async def blocks(desk: Desk, indexes: tuple[str, ...] = DUE) -> int:
    await desk.connection.execute("SELECT pg_stat_force_next_flush()")
    return int(await desk.connection.fetchval(READ, indexes))


async def test_a_claim_after_a_long_backlog_reads_few_blocks_of_the_indexes(desk: Desk) -> None:
    connection = desk.connection
    await connection.execute("SET ROLE NONE")
    await connection.execute("ALTER TABLE work SET (autovacuum_enabled = off)")
    await desk.ask(*["{}"] * BACKLOG)
    # Each at a time of its own, as they come: equal ones share an entry of the index.
    await connection.execute("UPDATE work SET run_at = run_at - (id % 60000) * interval '1 ms'")
    since = EVER
    for _ in range(BACKLOG // 500):
        turned = await look(desk, since, 500)
        ends = [end(one) for one in turned.claimed]
        await turn(connection, desk.worker, finished=ends, wanted=[])
        since = turned.since[desk.fn]
    assert await connection.fetchval("SELECT count(*) FROM work") == 0
    # Due more than a second later than what was done: the margin for what is stored late.
    later = timedelta(seconds=5)
    await desk.ask(*["{}"] * 15)
    await connection.execute("UPDATE work SET run_at = run_at + $1", later)
    await connection.execute("SELECT pg_sleep_until(min(run_at)) FROM work")

    before = await blocks(desk)
    far = await look(desk, EVER, 1)
    middle = await blocks(desk)
    near = await look(desk, far.since[desk.fn], 1)
    after = await blocks(desk)

    assert len(far.claimed) == len(near.claimed) == 1
    assert middle - before > 100, "the dead entries are not there: this test shows nothing"
    assert after - middle < 30


async def test_what_was_due_earlier_is_passed_over_until_everything_is_looked_at(
    desk: Desk,
) -> None:
    await desk.ask("{}", delay_seconds=-60.0)
    assert (await look(desk, datetime.now(UTC) - timedelta(seconds=30))).claimed == []
    assert len((await look(desk, EVER)).claimed) == 1


async def test_what_is_stored_a_moment_late_is_not_passed_over(desk: Desk) -> None:
    since = (await look(desk, EVER)).since[desk.fn]
    await desk.ask("{}", delay_seconds=-0.8)  # the transaction took that long
    assert len((await look(desk, since)).claimed) == 1


async def test_the_oldest_that_waits_is_the_horizon(desk: Desk) -> None:
    await desk.ask("{}", delay_seconds=-60.0)
    await desk.ask("{}", delay_seconds=-40.0)
    first = await look(desk, EVER, 1)
    second = await look(desk, first.since[desk.fn], 1)
    assert len(first.claimed) == len(second.claimed) == 1
    between = second.since[desk.fn] - first.since[desk.fn]
    assert timedelta(seconds=19) < between < timedelta(seconds=21)


async def test_a_lane_is_never_passed_over(desk: Desk) -> None:
    await desk.ask("{}", lane=7, delay_seconds=-60.0)
    assert len((await look(desk, datetime.now(UTC))).claimed) == 1


async def test_who_does_not_ask_from_when_on_to_look_is_not_told(desk: Desk) -> None:
    await desk.ask("{}")
    turned = await look(desk, None)
    assert len(turned.claimed) == 1
    assert turned.since == {}
    assert turned.more == []
    done = [end(one, DONE) for one in turned.claimed]
    both = [Wanted(desk.fn, 1, True, -1), Wanted(desk.fn + 1, 1, True, -1, (), EVER)]
    turned = await turn(desk.connection, desk.worker, finished=done, wanted=both)
    assert list(turned.since) == [desk.fn + 1]


async def test_the_next_in_a_long_lane_is_found_without_reading_what_is_done(desk: Desk) -> None:
    connection = desk.connection
    await connection.execute("SET ROLE NONE")
    await connection.execute("ALTER TABLE work SET (autovacuum_enabled = off)")
    stored = await desk.ask(*["{}"] * (BACKLOG // 2), lane=7)
    (first,) = await desk.claim()
    rest = [end(first._replace(id=one.id)) for one in stored[1:-2]]
    many = end(first)
    many.others = rest
    (head,) = await desk.end([many])
    assert head.id == stored[-2].id

    before = await blocks(desk, LINE)
    (last,) = await desk.end([end(head)])
    after = await blocks(desk, LINE)
    assert last.id == stored[-1].id
    assert after - before < 15


async def test_a_replayed_event_is_the_next_of_a_lane_that_is_running(desk: Desk) -> None:
    await desk.ask("1", "2", "3", lane=7)
    (first,) = await desk.claim()
    (second,) = await desk.end([end(first, DEAD)])
    await replay(desk, first)
    (again,) = await desk.end([end(second)])
    (third,) = await desk.end([end(again)])
    assert [one.event for one in (second, again, third)] == ["2", "1", "3"]
    assert await desk.end([end(third)]) == []
    assert await desk.connection.fetchval("SELECT count(*) FROM work") == 0


async def test_a_replayed_event_does_not_wait_for_the_next_try_of_the_one_that_ran(
    desk: Desk,
) -> None:
    await desk.ask("1", "2", lane=7)
    (first,) = await desk.claim()
    (second,) = await desk.end([end(first, DEAD)])
    await replay(desk, first)
    (again,) = await desk.end([end(second, RETRY, delay_seconds=3600.0)])
    assert again.id == first.id


async def replay(desk: Desk, claimed: Claimed) -> None:
    told = await desk.connection.fetchval("SELECT replay_invocation($1)", claimed.id)
    assert told == "replayed"
