"""Workers for tests: in this process, or real processes that can be killed."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.dispatch import Dispatcher, Outcome
from runtime.function import Function
from runtime.registry import Registry
from runtime.settings import Settings
from runtime.worker import work
from state.database import Database
from state.invocations import Invocations

ROOT = Path(__file__).parents[2]


@dataclass
class Platform:
    """A dispatcher, and a look into the database."""

    dispatcher: Dispatcher
    database: Database
    invocations: Invocations

    async def run(self, event: Any, *, seconds: float = 15, tenant: int = 0) -> Outcome:
        receipt = await self.dispatcher.dispatch(event, wait=True, tenant=tenant)
        return await self.end_of(receipt.id, seconds=seconds)

    async def end_of(self, number: int, *, seconds: float = 15) -> Outcome:
        outcome = await self.dispatcher.outcome(number, seconds)
        assert outcome is not None, await self.invocations.get(number)
        return outcome

    async def until(self, number: int, state: str) -> None:
        async with asyncio.timeout(15):
            while True:
                found = await self.invocations.get(number)
                assert found is not None
                if found.state == state:
                    return
                await asyncio.sleep(0.02)

    async def zero(self, statement: str, seconds: float = 30) -> None:
        """Wait until a statement counts nothing any more."""
        async with asyncio.timeout(seconds):
            while await self.value(statement):
                await asyncio.sleep(0.02)

    async def value(self, statement: str, *arguments: object) -> Any:
        async with self.database.engine() as connection:
            return await connection.fetchval(statement, *arguments)


@asynccontextmanager
async def platform(settings: Settings, registry: Registry) -> AsyncIterator[Platform]:
    assert settings.postgres_dsn is not None
    dispatcher = await Dispatcher.open(settings, registry)
    database = await Database.open(settings.postgres_dsn.get_secret_value(), application="test")
    try:
        yield Platform(dispatcher, database, Invocations(database))
    finally:
        await dispatcher.aclose()
        await database.aclose()


@asynccontextmanager
async def working(
    settings: Settings, functions: Sequence[Function[Any]], **options: Any
) -> AsyncIterator[Platform]:
    """A worker in this process, and a platform to give it work."""
    registry = Registry(list(functions), [])
    async with platform(settings, registry) as found:
        task = asyncio.create_task(work(settings, registry, **options))
        try:
            yield found
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def taken_back(found: Platform) -> None:
    """Declare all workers dead, in the middle of whatever they do."""
    async with asyncio.timeout(60):
        while not await found.value(
            "SELECT count(reap(worker_id, false)) FROM worker WHERE NOT ended"
        ):
            await asyncio.sleep(0.02)  # it is still starting


def environment(settings: Settings, functions: str, **more: str) -> dict[str, str]:
    """What a process needs to join this installation."""
    assert settings.postgres_dsn is not None
    assert settings.redis_url is not None
    key = settings.encryption_key
    return {
        "ENCRYPTION_KEY": key.get_secret_value() if key else "",
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "POSTGRES_DSN": settings.postgres_dsn.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
        "NEXUS_STATE_DIR": str(settings.state_dir),
        "NEXUS_FUNCTIONS": functions,
        "NEXUS_LEASE_SECONDS": "3",
        **more,
    }


class WorkerProcess:
    """`nexus work`, as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process, self.log = process, log

    def kill(self) -> None:
        self.process.kill()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self, seconds: float = 15) -> int:
        async with asyncio.timeout(seconds):
            return await self.process.wait()


@asynccontextmanager
async def worker_process(
    settings: Settings, tmp_path: Path, *arguments: str, **more: str
) -> AsyncIterator[WorkerProcess]:
    """Start `nexus work`; it is killed at the end if it still runs."""
    log = tmp_path / f"worker-{len(list(tmp_path.glob('worker-*')))}.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway.cli",
            "work",
            *arguments,
            env=environment(settings, "tests.sample", **more),
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield WorkerProcess(process, log)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def until(true: Callable[[], bool], seconds: float = 15) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.02)
