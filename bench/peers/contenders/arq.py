# /// script
# dependencies = ["arq==0.28.0", "redis==5.3.1", "hiredis==3.5.0", "uvloop==0.23.0"]
# ///
"""arq: one worker on uvloop with hiredis; results are not kept. It polls each half second."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from arq import create_pool
from arq.connections import ArqRedis, RedisSettings
from arq.worker import Worker

from bench.peers.record import note, now
from bench.peers.shape import WAIT_SECONDS, Sender, gathered, main, run


async def noop(_: Any, sent_at: float) -> None:
    """Leave the times behind."""
    note(sent_at)


async def wait(_: Any) -> None:
    """Wait a second."""
    began = now()
    await asyncio.sleep(WAIT_SECONDS)
    note(began)


class Enqueuer:
    """Enqueues with `enqueue_job`; it has no bulk call, so 200 callers are together."""

    def __init__(self, pool: ArqRedis) -> None:
        self._pool = pool

    async def one(self, kind: str, sent_at: float) -> None:
        """Enqueue."""
        await self._pool.enqueue_job("noop", sent_at)

    async def many(self, kind: str, count: int) -> None:
        """Enqueue, 200 at a time."""
        given = (0.0,) if kind == "noop" else ()
        await gathered(self._pool.enqueue_job(kind, *given) for _ in range(count))


@asynccontextmanager
async def sender() -> AsyncIterator[Sender]:
    """Open the pool."""
    pool = await create_pool(RedisSettings.from_dsn(os.environ["REDIS_URL"]))
    yield Enqueuer(pool)
    await pool.aclose()


def work(concurrency: int) -> None:
    """Run a worker."""

    async def _work() -> None:
        settings = RedisSettings.from_dsn(os.environ["REDIS_URL"])
        functions: list[Any] = [noop, wait]
        await Worker(
            functions,
            redis_settings=settings,
            max_jobs=concurrency,
            keep_result=0,
            queue_read_limit=max(concurrency, 1000),
        ).async_run()

    run(_work())


if __name__ == "__main__":
    main(work, sender)
