"""Who is alive; what the dead leave behind."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from state.database import PLANNER, Connection, connect
from state.leases import leave, reconcile, register_worker, renew, suspects_wait, sweep
from state.work import Finish, Wanted, turn
from tests.state.test_turn import Desk, end, open_desk


@pytest.fixture
async def desk(database_dsn: str) -> AsyncIterator[Desk]:
    desk = await open_desk(database_dsn)
    yield desk
    await desk.connection.close()


@pytest.fixture
async def watcher(database_dsn: str) -> AsyncIterator[Desk]:
    desk = await open_desk(database_dsn)
    yield desk
    await desk.connection.close()


async def until_reaped(watcher: Desk) -> None:
    """Sweep until somebody was found dead. The server's first seconds do not count."""
    async with asyncio.timeout(10):
        before = await watcher.connection.fetchval("SELECT count(*) FROM worker WHERE ended")
        while before == await watcher.connection.fetchval(
            "SELECT count(*) FROM worker WHERE ended"
        ):
            await sweep(watcher.connection, watcher.worker, True)
            await asyncio.sleep(0.02)


async def solo(connection: Connection) -> int:
    return await register_worker(connection, 30, True)


async def test_a_living_worker_is_left_alone(desk: Desk, watcher: Desk) -> None:
    await desk.ask("{}")
    await desk.claim()
    await until_settled(watcher)
    for _ in range(3):
        assert (await sweep(watcher.connection, watcher.worker, True)) == (0, 0)
    assert await renew(desk.connection, desk.worker, 30)


async def until_settled(watcher: Desk) -> None:
    async with asyncio.timeout(10):
        while not await watcher.connection.fetchval(
            "SELECT pg_postmaster_start_time() < clock_timestamp() - interval '3 seconds'"
        ):
            await asyncio.sleep(0.05)


async def test_a_killed_worker_is_found_by_its_free_lock(desk: Desk, watcher: Desk) -> None:
    await desk.ask("{}", '"b"')
    await desk.claim()
    desk.connection.terminate()
    await until_reaped(watcher)
    rows = await watcher.connection.fetch("SELECT worker, suspect, crashes FROM work")
    assert [tuple(row) for row in rows] == [(None, True, 0)] * 2


async def test_a_paused_worker_is_found_by_its_lease(desk: Desk, watcher: Desk) -> None:
    await desk.ask("{}")
    (claimed,) = await desk.claim()
    await renew(desk.connection, desk.worker, -1)
    await until_reaped(watcher)
    assert not await renew(desk.connection, desk.worker, 30)
    assert await suspects_wait(watcher.connection, [desk.fn])
    assert await watcher.claim() == [], "a suspect runs only alone"
    assert claimed.epoch == 1


async def test_without_trust_nobody_is_declared_dead(desk: Desk, watcher: Desk) -> None:
    await until_settled(watcher)
    await renew(desk.connection, desk.worker, -1)
    assert (await sweep(watcher.connection, watcher.worker, False)).reaped == 0
    assert await renew(desk.connection, desk.worker, 30)


async def test_leaving_in_order_blames_nothing(desk: Desk, watcher: Desk) -> None:
    await desk.ask("{}")
    await desk.ask('"lane"', lane=3)
    assert len(await desk.claim()) == 2
    await leave(desk.connection, desk.worker)
    again = await watcher.claim()
    assert [(one.crashes, one.errors) for one in again] == [(0, 0)] * 2


async def test_only_the_head_of_a_lane_is_suspected(desk: Desk, watcher: Desk) -> None:
    head, behind = await desk.ask('"head"', '"behind"', lane=3)
    await desk.claim()
    desk.connection.terminate()
    await until_reaped(watcher)
    rows = await watcher.connection.fetch("SELECT id FROM work WHERE suspect")
    assert [row["id"] for row in rows] == [head.id]
    assert behind.id != head.id


async def test_the_third_crash_alone_is_the_end(database_dsn: str, watcher: Desk) -> None:
    (poison,) = await watcher.ask("{}")
    await watcher.connection.execute("UPDATE work SET suspect = true")
    for crash in (1, 2, 3):
        connection = await connect(database_dsn, application="solo", settings=PLANNER)
        worker = await solo(connection)
        await watcher.connection.execute("UPDATE work SET run_at = clock_timestamp()")
        turned = await turn(
            connection,
            worker,
            finished=[],
            wanted=[Wanted(watcher.fn, 1, True, -1)],
            alone=True,
        )
        assert [one.crashes for one in turned.claimed] == [crash - 1]
        connection.terminate()
        await until_reaped(watcher)
    assert await watcher.connection.fetchval("SELECT count(*) FROM work") == 0
    assert await watcher.connection.fetchval("SELECT state FROM outcome") == b"x"
    assert await watcher.connection.fetchval("SELECT subject FROM alert") == poison.id


async def test_a_suspect_that_ends_in_order_is_cleared(database_dsn: str, watcher: Desk) -> None:
    await watcher.ask("{}")
    await watcher.connection.execute("UPDATE work SET suspect = true")
    connection = await connect(database_dsn, application="solo", settings=PLANNER)
    worker = await solo(connection)
    want = [Wanted(watcher.fn, 1, True, -1)]
    turned = await turn(connection, worker, finished=[], wanted=want, alone=True)
    failed: list[Finish] = [end(one, b"r", cause="error") for one in turned.claimed]
    await turn(connection, worker, finished=failed, wanted=[], alone=True)
    (again,) = await watcher.claim()
    assert again.errors == 1
    await connection.close()


async def test_after_a_broken_connection_a_lost_claim_is_given_back(
    desk: Desk, watcher: Desk
) -> None:
    await desk.ask("{}")
    await desk.ask('"lane"', lane=3)
    await desk.claim()  # committed, but say the answer never arrived
    assert await reconcile(desk.connection, desk.worker, []) == []
    assert len(await watcher.claim()) == 2


async def test_after_a_broken_connection_foreign_attempts_are_named(
    desk: Desk, watcher: Desk
) -> None:
    await desk.ask("{}", '"b"')
    kept, lost = await desk.claim()
    await desk.connection.execute("UPDATE work SET worker = NULL WHERE id = $1", lost.id)
    await watcher.claim()
    assert await reconcile(desk.connection, desk.worker, [kept, lost]) == [lost.id]
