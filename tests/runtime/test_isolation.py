"""A function with isolation="process" hurts only itself, and is called like any other."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from runtime.errors import DeclarationError
from runtime.lease import EXIT_BLOCKED
from runtime.policy import Policy, Process
from runtime.registry import load_registry
from runtime.settings import Settings
from tests.confined.burn import Burn
from tests.confined.deed import Deed
from tests.runtime.harness import Platform, WorkerProcess, platform, until, worker_process
from tests.sample.greet import Greet
from tests.sample.stall import Stall

PACKAGES = "tests.confined,tests.sample"


@asynccontextmanager
async def confined(
    settings: Settings, tmp_path: Path, **more: str
) -> AsyncIterator[tuple[Platform, WorkerProcess]]:
    async with (
        platform(settings, load_registry(PACKAGES)) as found,
        worker_process(settings, tmp_path, NEXUS_FUNCTIONS=PACKAGES, **more) as worker,
    ):
        yield found, worker


async def reason(found: Platform, number: int) -> tuple[str, str]:
    """Return the cause and the text of the last failure."""
    async with found.database.engine() as connection:
        row = await connection.fetchrow(
            "SELECT kind, message FROM failure WHERE id = $1 ORDER BY attempt DESC", number
        )
    assert row is not None
    return row["kind"], row["message"]


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_attempts_share_a_warm_process_which_is_not_the_worker(
    settings: Settings, tmp_path: Path
) -> None:
    async with confined(settings, tmp_path) as (found, worker):
        pids = [(await found.run(Deed(kind="pid"))).result for _ in range(6)]
    assert len(set(pids[:5])) == 1, "the same process, again and again"
    assert pids[5] != pids[0], "after `attempts` of them it is replaced"
    assert str(worker.process.pid) not in pids
    assert "deed done" in worker.log.read_text()


async def test_a_process_that_grew_is_replaced(settings: Settings, tmp_path: Path) -> None:
    async with confined(settings, tmp_path) as (found, _):
        grown = await found.run(Deed(kind="grow"))
        after = await found.run(Deed(kind="pid"))
    assert grown.state == "done"
    assert grown.result != after.result


async def test_a_segfault_is_one_crash_of_its_invocation_and_nobody_elses(
    settings: Settings, tmp_path: Path
) -> None:
    tally = tmp_path / "tally"
    async with confined(settings, tmp_path) as (found, worker):
        other = await found.dispatcher.dispatch(Greet(seconds=1), wait=True)
        outcome = await found.run(Deed(kind="segfault", file=str(tally), times=1))
        number = await found.value("SELECT id FROM failure")
        assert (await found.end_of(other.id)).result == '"Hello, world! (1)"'
        assert worker.process.returncode is None
        assert await reason(found, number) == ("crash", "its process ended by SIGSEGV")
        assert await found.value("SELECT count(*) FROM worker") == 1, "nobody went to quarantine"
    assert outcome.state == "done", "it was tried again"


async def test_three_segfaults_make_an_invocation_dead_with_an_alert(
    settings: Settings, tmp_path: Path
) -> None:
    tally = tmp_path / "tally"
    async with confined(settings, tmp_path) as (found, worker):
        receipt = await found.dispatcher.dispatch(Deed(kind="segfault", file=str(tally)))
        async with asyncio.timeout(20):
            while await found.value("SELECT crashes FROM work WHERE id = $1", receipt.id) != 2:
                await asyncio.sleep(0.02)
        assert await found.value("SELECT errors FROM work WHERE id = $1", receipt.id) == 0
        assert (await found.end_of(receipt.id)).state == "dead"
        assert await found.value("SELECT subject FROM alert") == receipt.id
        assert worker.process.returncode is None
    assert tally.read_text() == "xxx"


async def test_memory_beyond_the_limit_fails_the_attempt_alone(
    settings: Settings, tmp_path: Path
) -> None:
    async with confined(settings, tmp_path) as (found, worker):
        receipt = await found.dispatcher.dispatch(Deed(kind="memory"), wait=True)
        assert (await found.end_of(receipt.id)).state == "dead"
        assert await reason(found, receipt.id) == ("error", "MemoryError")
        assert worker.process.returncode is None


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("loop", "ran longer than 2 s, and was killed"),
        ("deaf", "ran longer than 2 s, and was killed"),
        ("thread", "ran longer than 2 s"),
    ],
)
async def test_what_never_ends_is_ended(
    settings: Settings, tmp_path: Path, kind: str, said: str
) -> None:
    async with confined(settings, tmp_path) as (found, worker):
        before = await found.run(Deed(kind="pid"))
        event = Deed.model_validate({"kind": kind, "file": str(tmp_path / "pid")})
        receipt = await found.dispatcher.dispatch(event, wait=True)
        await found.until(receipt.id, "running")
        assert (await found.run(Greet())).state == "done", "the worker goes on meanwhile"
        assert (await found.end_of(receipt.id)).state == "dead"
        assert await reason(found, receipt.id) == ("timeout", said)
        assert before.result is not None
        await until(lambda: not lives(int(before.result or 0)))
        assert (await found.run(Deed(kind="pid"))).state == "done"
        assert worker.process.returncode is None


async def test_what_uses_too_much_cpu_is_ended(settings: Settings, tmp_path: Path) -> None:
    async with confined(settings, tmp_path) as (found, _):
        receipt = await found.dispatcher.dispatch(Burn(), wait=True)
        assert (await found.end_of(receipt.id, seconds=45)).state == "dead"
        said = ("timeout", "used more than 1 s of CPU, and was killed")
        assert await reason(found, receipt.id) == said


async def test_a_person_cancels_what_does_not_listen(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    async with confined(settings, tmp_path) as (found, _):
        receipt = await found.dispatcher.dispatch(Deed(kind="sleep"), wait=True)
        await found.until(receipt.id, "running")
        await found.invocations.cancel(receipt.id, actor="test")
        assert (await found.end_of(receipt.id)).state == "cancelled"
        deaf = await found.dispatcher.dispatch(Deed(kind="deaf", file=str(file)), wait=True)
        await until(lambda: file.exists() and bool(file.read_text()))
        await found.invocations.cancel(deaf.id, actor="test")
        await found.end_of(deaf.id)
        await until(lambda: not lives(int(file.read_text())))


async def test_a_drain_waits_for_children_and_leaves_none(
    settings: Settings, tmp_path: Path
) -> None:
    async with confined(settings, tmp_path) as (found, worker):
        pid = (await found.run(Deed(kind="pid"))).result
        receipt = await found.dispatcher.dispatch(Deed(kind="sleep"), wait=True)
        await found.until(receipt.id, "running")
        worker.signal(signal.SIGTERM)
        assert await worker.ended() == 0
        assert (await found.end_of(receipt.id)).state == "done"
    assert not lives(int(pid or 0))


async def test_what_drains_too_long_is_handed_back_without_blame(
    settings: Settings, tmp_path: Path
) -> None:
    async with confined(settings, tmp_path, NEXUS_DRAIN_SECONDS="0.1") as (found, worker):
        await found.run(Deed(kind="pid"))
        receipt = await found.dispatcher.dispatch(Deed(kind="sleep"))
        await found.until(receipt.id, "running")
        worker.signal(signal.SIGTERM)
        assert await worker.ended() == 0
        detail = await found.invocations.get(receipt.id)
    assert detail is not None
    assert (detail.state, detail.errors, detail.crashes) == ("waiting", 0, 0)


async def test_steps_transactions_and_dispatches_work_from_a_child(
    settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "notes"
    async with confined(settings, tmp_path) as (found, _):
        outcome = await found.run(Deed(kind="write", file=str(file)))
        assert outcome.state == "done"
        await until(lambda: len(file.read_text().splitlines()) == 3)
        assert await found.value("SELECT count(*) FROM step") == 1
    assert file.read_text() == "called\nfrom the transaction 1\nwith the outcome 1\n"


async def test_a_killed_worker_leaves_no_process_behind(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "pids"
    async with confined(settings, tmp_path) as (found, worker):
        await found.dispatcher.dispatch(Deed(kind="child", file=str(file)))
        await until(lambda: file.exists() and len(file.read_text().split()) == 3)
        worker.kill()
        await worker.ended()
        pids = [int(each) for each in file.read_text().split()]
        await until(lambda: not any(map(lives, pids)))


async def test_when_the_fork_server_is_killed_another_takes_its_place(
    settings: Settings, tmp_path: Path
) -> None:
    async with confined(settings, tmp_path) as (found, worker):
        await found.run(Deed(kind="pid"))
        receipt = await found.dispatcher.dispatch(Deed(kind="sleep"), wait=True)
        await found.until(receipt.id, "running")
        children = Path(f"/proc/{worker.process.pid}/task/{worker.process.pid}/children")
        server, *more = map(int, children.read_text().split())
        assert not more
        assert len(list(Path(f"/proc/{server}/task").iterdir())) == 1, "no thread in it"
        opened = [os.readlink(each) for each in Path(f"/proc/{server}/fd").iterdir()]
        sockets = sum(one.startswith("socket:") for one in opened)
        assert sockets == 1, "none but its worker's: no connection, no event loop (that has two)"
        os.kill(server, signal.SIGKILL)
        assert (await found.end_of(receipt.id)).state == "done", "blamed on nobody"
        assert worker.process.returncode is None


async def test_no_fork_server_where_nobody_asks_for_one(settings: Settings, tmp_path: Path) -> None:
    async with (
        platform(settings, load_registry("tests.sample")) as found,
        worker_process(settings, tmp_path) as worker,
    ):
        await found.run(Greet())
        children = Path(f"/proc/{worker.process.pid}/task/{worker.process.pid}/children")
        assert children.read_text() == ""


async def test_a_blocked_loop_is_named_and_past_the_limit_its_process_leaves(
    settings: Settings, tmp_path: Path
) -> None:
    tally = tmp_path / "tally"
    async with (
        platform(settings, load_registry("tests.sample")) as found,
        worker_process(settings, tmp_path, NEXUS_BLOCKED_SECONDS="1") as worker,
    ):
        beside = await found.dispatcher.dispatch(Greet(seconds=3), wait=True)
        await found.run(Greet())  # this worker has taken both
        receipt = await found.dispatcher.dispatch(Stall(tally=str(tally)), wait=True)
        await until(tally.exists)
        async with worker_process(settings, tmp_path):
            assert await worker.ended() == EXIT_BLOCKED
            assert (await found.run(Greet())).state == "done"
            assert (await found.end_of(receipt.id, seconds=30)).state == "done"
            other = await found.end_of(beside.id, seconds=30)
            assert other.result == '"Hello, world! (1)"', "it was made to pay for the other one"
    text = worker.log.read_text()
    assert "stall.py" in text
    assert "stack=" in text or '"stack":' in text


def test_limits_under_which_nothing_runs_are_refused_at_import() -> None:
    with pytest.raises(DeclarationError, match="memory_mb=1"):
        Process(memory_mb=1)
    with pytest.raises(DeclarationError, match='"task", "process" or Process'):
        Policy(isolation="proces")  # type: ignore[arg-type]
    assert Policy(isolation="process").process == Process()
    assert Policy().process is None
