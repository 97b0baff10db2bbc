# /// script
# dependencies = ["taskiq==0.13.0", "taskiq-redis==1.2.4", "redis==8.1.0", "hiredis==3.5.0",
#                 "uvloop==0.23.0"]
# ///
"""taskiq on a Redis stream (with acknowledgement): one worker process on uvloop with hiredis."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from taskiq_redis import RedisStreamBroker

from bench.peers.record import note, now
from bench.peers.shape import WAIT_SECONDS, Sender, gathered, main

broker = RedisStreamBroker(os.environ["REDIS_URL"], consumer_id="0")


@broker.task(task_name="noop")
async def noop(sent_at: float) -> None:
    """Leave the times behind."""
    note(sent_at)


@broker.task(task_name="wait")
async def wait() -> None:
    """Wait a second."""
    began = now()
    await asyncio.sleep(WAIT_SECONDS)
    note(began)


class Enqueuer:
    """Enqueues with `kiq`; it has no bulk call, so 200 callers are together."""

    async def one(self, kind: str, sent_at: float) -> None:
        """Enqueue."""
        await noop.kiq(sent_at)

    async def many(self, kind: str, count: int) -> None:
        """Enqueue, 200 at a time."""
        if kind == "noop":
            await gathered(noop.kiq(0.0) for _ in range(count))
        else:
            await gathered(wait.kiq() for _ in range(count))


@asynccontextmanager
async def sender() -> AsyncIterator[Sender]:
    """Open the broker."""
    await broker.startup()
    yield Enqueuer()
    await broker.shutdown()


def work(concurrency: int) -> None:
    """Become taskiq's worker, with one process."""
    arguments = ["--workers", "1", "--max-async-tasks", str(concurrency), "--log-level", "WARNING"]
    program = f"{sys.prefix}/bin/taskiq"
    os.execv(program, [program, "worker", "bench.peers.contenders.taskiq:broker", *arguments])


if __name__ == "__main__":
    main(work, sender)
