"""Faults on a running stack: kill, pause, forget. Only processes that the bench itself started."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

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
    ("flushall", 2),
    ("pause worker", 3),
)


class Faults:
    """Does harm at random, by a seed, and counts what it did."""

    def __init__(
        self, running: Running, lease_seconds: float, seed: int, extra: Callable[[], int | None]
    ) -> None:
        """Create it; `extra` returns the process of a second worker."""
        self._running, self._lease = running, lease_seconds
        self._random = random.Random(seed)
        self._extra = extra
        self._paused: set[int] = set()
        self._pauses: set[asyncio.Task[None]] = set()
        self.done: Counter[str] = Counter()

    async def run(self, seconds: float) -> None:
        """Do harm for this long; then let everything go on."""
        until = asyncio.get_running_loop().time() + seconds
        names, weights = [kind for kind, _ in KINDS], [weight for _, weight in KINDS]
        while asyncio.get_running_loop().time() < until:
            await asyncio.sleep(self._random.uniform(0.8, 1.8))
            (kind,) = self._random.choices(names, weights)
            if await self._do(kind):
                self.done[kind] += 1
        if self._pauses:
            await asyncio.wait(self._pauses)

    async def _do(self, kind: str) -> bool:
        if kind == "flushall":
            return await self._flushall()
        verb, _, name = kind.partition(" ")
        pid = self._running.pids().get(name)
        if name == "worker" and self._random.random() < 0.5:
            pid = self._extra()
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

    async def _wake(self, pid: int) -> None:
        await asyncio.sleep(self._lease * PAUSE_SHARE)
        self._paused.discard(pid)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

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
