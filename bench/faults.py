"""Faults on a running stack: kill, pause, forget. Only processes that the bench itself started."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import asyncpg
import redis.asyncio as redis

from bench.stack import Running

PAUSE_SHARE = 1.5
"""A paused worker stays so for this many leases."""
KINDS = (
    ("kill worker", 4),
    ("kill gateway", 3),
    ("kill redis", 2),
    ("kill postgres", 2),
    ("kill web", 2),
    ("end backend", 3),
    ("flushall", 2),
    ("pause worker", 3),
)
STOPPED = "T"
"""A process that was stopped by a signal, in /proc."""


class Faults:
    """Does harm at random, by a seed, and counts what it did."""

    def __init__(
        self,
        running: Running,
        lease_seconds: float,
        seed: int,
        extra: Callable[[], int | None],
        kinds: Sequence[tuple[str, int]] = KINDS,
    ) -> None:
        """Create it; `extra` returns the process of a second worker, `kinds` have weights."""
        self._running, self._lease, self._kinds = running, lease_seconds, kinds
        self._random = random.Random(seed)
        self._extra = extra
        self._paused: set[int] = set()
        self._pauses: set[asyncio.Task[None]] = set()
        self.done: Counter[str] = Counter()

    async def run(self, seconds: float) -> None:
        """Do harm for this long; then let everything go on."""
        until = asyncio.get_running_loop().time() + seconds
        names, weights = [kind for kind, _ in self._kinds], [weight for _, weight in self._kinds]
        while asyncio.get_running_loop().time() < until:
            await asyncio.sleep(self._random.uniform(0.8, 1.8))
            (kind,) = self._random.choices(names, weights)
            if await self._do(kind):
                self.done[kind] += 1
        if self._pauses:
            await asyncio.wait(self._pauses)

    async def wake_stopped(self, seconds: float) -> None:
        """Let workers that stopped themselves go on after this long; runs until cancelled."""
        since: dict[int, float] = {}
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(0.1)
            for pid in self._workers():
                if pid in self._paused or not _stopped(pid):
                    continue
                if pid not in since:
                    since[pid] = clock()
                    self.done["pause before a send"] += 1
                elif clock() - since[pid] > seconds:
                    del since[pid]
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGCONT)

    async def _do(self, kind: str) -> bool:
        if kind == "flushall":
            return await self._flushall()
        if kind == "end backend":
            return await self._end_backend()
        verb, _, name = kind.partition(" ")
        pid = self._running.pids().get(name)
        if name == "worker":
            workers = self._workers()
            pid = self._random.choice(workers) if workers else None
        if pid is None or pid in self._paused:
            return False
        try:
            if verb == "kill":
                os.kill(pid, signal.SIGKILL)
            else:
                os.kill(pid, signal.SIGSTOP)
                self._paused.add(pid)
                task = asyncio.create_task(self._wake(pid))
                self._pauses.add(task)
                task.add_done_callback(self._pauses.discard)
        except ProcessLookupError:
            return False
        return True

    def _workers(self) -> list[int]:
        """Return all workers: of all functions, of a single one (`agent_run.1`), and the extra."""
        found = [
            pid for name, pid in self._running.pids().items() if name == "worker" or "." in name
        ]
        extra = self._extra()
        return found if extra is None else [*found, extra]

    async def _wake(self, pid: int) -> None:
        await asyncio.sleep(self._lease * PAUSE_SHARE)
        self._paused.discard(pid)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    async def _end_backend(self) -> bool:
        """Break one connection to Postgres, of whichever process, in whatever it is doing."""
        dsn = self._running.card.environment["POSTGRES_DSN"]
        try:
            connection = await asyncpg.connect(dsn, timeout=1)
        except (OSError, asyncpg.PostgresError, TimeoutError):
            return False
        try:
            listed = await connection.fetch(
                "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'nexus%' ORDER BY pid"
            )
            if not listed:
                return False
            pid = self._random.choice(listed)["pid"]
            return bool(await connection.fetchval("SELECT pg_terminate_backend($1)", pid))
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        finally:
            connection.terminate()

    async def _flushall(self) -> bool:
        url = self._running.card.environment["REDIS_URL"]
        client = redis.Redis.from_url(url, socket_connect_timeout=1)
        try:
            await client.flushall()
        except (redis.RedisError, OSError):
            return False
        finally:
            await client.aclose()
        return True


def _stopped(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] == STOPPED
