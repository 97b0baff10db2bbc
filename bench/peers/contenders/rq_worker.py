# /// script
# dependencies = ["rq==3.0.0", "redis==8.1.0", "hiredis==3.5.0"]
# ///
"""rq, Worker: a fork for each job. hiredis; results are not kept."""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis import Redis
from rq import Queue, Worker

from bench.peers.record import note, now
from bench.peers.shape import WAIT_SECONDS, Sender, main

BATCH = 1000
HERE = "bench.peers.contenders.rq_worker"  # as workers know it; here it may be __main__


def noop(sent_at: float) -> None:
    """Leave the times behind."""
    note(sent_at)


def wait() -> None:
    """Wait a second."""
    began = now()
    time.sleep(WAIT_SECONDS)
    note(began)


def queue() -> Queue:
    """Return the queue that both sides use."""
    return Queue("bench", connection=Redis.from_url(os.environ["REDIS_URL"]))


class Enqueuer:
    """Enqueues with `enqueue` and `enqueue_many`."""

    def __init__(self) -> None:
        self._queue = queue()

    async def one(self, kind: str, sent_at: float) -> None:
        """Enqueue."""
        self._queue.enqueue(f"{HERE}.noop", sent_at, result_ttl=0)

    async def many(self, kind: str, count: int) -> None:
        """Enqueue in batches."""
        given = (0.0,) if kind == "noop" else ()
        while count > 0:
            some = min(count, BATCH)
            self._queue.enqueue_many(
                [Queue.prepare_data(f"{HERE}.{kind}", given, result_ttl=0) for _ in range(some)]
            )
            count -= some


@asynccontextmanager
async def sender() -> AsyncIterator[Sender]:
    """Open the queue."""
    yield Enqueuer()


def work(_: int) -> None:
    """Run `rq.Worker`."""
    found = queue()
    Worker([found], connection=found.connection).work(logging_level="WARNING")


if __name__ == "__main__":
    main(work, sender)
