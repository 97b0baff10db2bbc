"""Processes are killed, paused and drained; nothing is lost, doubled, reordered or blamed."""

import asyncio
import signal
from pathlib import Path

from runtime.lease import EXIT_LEASE_LOST
from runtime.registry import load_registry
from runtime.settings import Settings
from state.database import connect
from tests.runtime.harness import platform, until, worker_process
from tests.sample.greet import Greet
from tests.sample.note import Note
from tests.sample.poison import Poison


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


async def test_what_a_killed_worker_was_running_runs_again(
    settings: Settings, tmp_path: Path
) -> None:
    registry = load_registry("tests.sample")
    async with platform(settings, registry) as found:
        async with worker_process(settings, tmp_path) as first:
            receipt = await found.dispatcher.dispatch(Greet(seconds=1), wait=True)
            await found.until(receipt.id, "running")
            first.kill()
            await first.ended()
        async with worker_process(settings, tmp_path):
            outcome = await found.end_of(receipt.id, seconds=30)
            detail = await found.invocations.get(receipt.id)
    assert outcome.result == '"Hello, world! (1)"', "a crash with others is nobody's attempt"
    assert detail is not None
    assert detail.crashes == 0


async def test_a_lane_keeps_its_order_over_a_crash(settings: Settings, tmp_path: Path) -> None:
    registry = load_registry("tests.sample")
    file = tmp_path / "notes"
    events = [Note(file=str(file), line=str(n), book="b", seconds=0.05) for n in range(10)]
    async with platform(settings, registry) as found:
        async with worker_process(settings, tmp_path) as first:
            ids = await found.dispatcher.dispatch_many(events)
            await until(lambda: len(lines(file)) >= 4)
            first.kill()
            await first.ended()
        async with worker_process(settings, tmp_path):
            await found.until(ids[-1], "done")
    numbers = [int(line.split()[0]) for line in lines(file)]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(10))
    assert len(numbers) <= 11, "only the interrupted one may run again"


async def test_poison_dies_after_three_crashes_alone_and_takes_nobody_with_it(
    settings: Settings, tmp_path: Path
) -> None:
    registry = load_registry("tests.sample")
    async with platform(settings, registry) as found:
        many = [Greet(name=str(n), seconds=0.3) for n in range(20)]
        innocent = await found.dispatcher.dispatch_many(many)
        async with worker_process(settings, tmp_path) as first:
            poison = await found.dispatcher.dispatch(Poison(tally=str(tmp_path / "tally")))
            await first.ended()
        async with worker_process(settings, tmp_path) as second:
            outcome = await found.end_of(poison.id, seconds=60)
            for number in innocent:
                assert (await found.end_of(number)).state == "done"
            assert second.process.returncode is None, "the worker itself was not hit again"
        assert await found.value("SELECT subject FROM alert WHERE resolved_at IS NULL") == poison.id
        assert await found.value("SELECT count(*) FROM alert") == 1
    assert outcome.state == "dead"
    assert len((tmp_path / "tally").read_text()) == 4, "once among others, three times alone"


async def test_a_suspect_that_survives_alone_is_done(settings: Settings, tmp_path: Path) -> None:
    registry = load_registry("tests.sample")
    async with platform(settings, registry) as found:
        event = Poison(tally=str(tmp_path / "tally"), times=2)
        receipt = await found.dispatcher.dispatch(event)
        async with worker_process(settings, tmp_path) as first:
            await first.ended()
        async with worker_process(settings, tmp_path):
            outcome = await found.end_of(receipt.id, seconds=60)
    assert outcome.result == '"survived after 2"'


async def test_sigterm_finishes_what_runs(settings: Settings, tmp_path: Path) -> None:
    registry = load_registry("tests.sample")
    async with platform(settings, registry) as found:
        async with worker_process(settings, tmp_path) as worker:
            receipt = await found.dispatcher.dispatch(Greet(seconds=0.5), wait=True)
            await found.until(receipt.id, "running")
            worker.signal(signal.SIGTERM)
            assert await worker.ended() == 0
        assert (await found.end_of(receipt.id)).result == '"Hello, world! (1)"'


async def test_what_takes_too_long_to_drain_is_handed_back_without_blame(
    settings: Settings, tmp_path: Path
) -> None:
    registry = load_registry("tests.sample")
    async with platform(settings, registry) as found:
        async with worker_process(settings, tmp_path, NEXUS_DRAIN_SECONDS="0.3") as worker:
            receipt = await found.dispatcher.dispatch(Greet(seconds=30))
            await found.until(receipt.id, "running")
            worker.signal(signal.SIGTERM)
            assert await worker.ended() == 0
        detail = await found.invocations.get(receipt.id)
    assert detail is not None
    assert (detail.state, detail.errors, detail.crashes) == ("waiting", 0, 0)


async def test_a_worker_paused_past_its_lease_ends_and_commits_nothing(
    settings: Settings, tmp_path: Path
) -> None:
    registry = load_registry("tests.sample")
    async with platform(settings, registry) as found:
        async with worker_process(settings, tmp_path) as paused:
            receipt = await found.dispatcher.dispatch(Greet(seconds=1), wait=True)
            await found.until(receipt.id, "running")
            paused.signal(signal.SIGSTOP)
            try:
                async with worker_process(settings, tmp_path):
                    outcome = await found.end_of(receipt.id, seconds=30)
            finally:
                paused.signal(signal.SIGCONT)
            assert await paused.ended() == EXIT_LEASE_LOST
        epochs = await found.value("SELECT count(*) FROM outcome WHERE id = $1", receipt.id)
    assert (outcome.state, epochs) == ("done", 1)


async def test_a_connection_that_breaks_loses_nothing(settings: Settings, tmp_path: Path) -> None:
    registry = load_registry("tests.sample")
    file = tmp_path / "notes"
    events = [Note(file=str(file), line=str(n), book="b", seconds=0.05) for n in range(30)]
    cut = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE application_name IN ('nexus worker', 'nexus lease', 'nexus attempts')"
        " AND datname = current_database()"
    )
    async with platform(settings, registry) as found, worker_process(settings, tmp_path) as worker:
        ids = await found.dispatcher.dispatch_many(events)
        for seen in (5, 12, 20):
            await until(lambda seen=seen: len(lines(file)) >= seen)  # type: ignore[misc]
            connection = await connect(found.database.dsn, application="cut", role=None)
            await connection.execute(cut)
            await connection.close()
        await found.until(ids[-1], "done")
        assert worker.process.returncode is None
        assert await found.value("SELECT count(*) FROM work") == 0
    numbers = [int(line.split()[0]) for line in lines(file)]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(30))


async def test_two_workers_share_the_work(settings: Settings, tmp_path: Path) -> None:
    registry = load_registry("tests.sample")
    async with (
        platform(settings, registry) as found,
        worker_process(settings, tmp_path),
        worker_process(settings, tmp_path),
    ):
        async with asyncio.timeout(15):
            while await found.value("SELECT count(*) FROM worker WHERE NOT ended") < 2:
                await asyncio.sleep(0.02)
        ids = await found.dispatcher.dispatch_many([Greet(name=str(n)) for n in range(500)])
        outcomes = [await found.end_of(number) for number in ids]
    assert {one.state for one in outcomes} == {"done"}
    assert {one.result for one in outcomes} == {f'"Hello, {n}! (1)"' for n in range(500)}
