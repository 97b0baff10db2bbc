# /// script
# dependencies = ["saq[redis]==0.26.4", "typing-extensions==4.15.0", "redis==7.4.1",
#                 "hiredis==3.5.0", "uvloop==0.23.0"]
# ///
"""saq on Redis: one worker on uvloop with hiredis; results are not kept (ttl of a second)."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from saq import Queue, Worker

from bench.peers.record import note, now
from bench.peers.shape import WAIT_SECONDS, Sender, gathered, main, run


async def noop(_: Any, *, sent_at: float) -> None:
    """Leave the times behind."""
    note(sent_at)


async def wait(_: Any) -> None:
    """Wait a second."""
    began = now()
    await asyncio.sleep(WAIT_SECONDS)
    note(began)


def queue() -> Queue:
    """Return the queue that both sides use."""
    return Queue.from_url(os.environ["REDIS_URL"])


class Enqueuer:
    """Enqueues with `enqueue`; it has no bulk call, so 200 callers are together."""

    def __init__(self, found: Queue) -> None:
        self._queue = found

    async def one(self, kind: str, sent_at: float) -> None:
        """Enqueue."""
        await self._send(kind, sent_at)

    async def many(self, kind: str, count: int) -> None:
        """Enqueue, 200 at a time."""
        await gathered(self._send(kind, 0.0) for _ in range(count))

    async def _send(self, kind: str, sent_at: float) -> None:
        given = {"sent_at": sent_at} if kind == "noop" else {}
        await self._queue.enqueue(kind, timeout=60, ttl=1, **given)


@asynccontextmanager
async def sender() -> AsyncIterator[Sender]:
    """Open the queue."""
    found = queue()
    await found.connect()
    yield Enqueuer(found)
    await found.disconnect()


def work(concurrency: int) -> None:
    """Run a worker."""

    async def _work() -> None:
        functions: list[Any] = [noop, wait]
        await Worker(queue(), functions, concurrency=concurrency).start()

    run(_work())


if __name__ == "__main__":
    main(work, sender)
