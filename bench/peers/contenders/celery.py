# /// script
# dependencies = ["celery[redis]==5.7.0", "redis==8.1.0", "gevent==26.9.0", "hiredis==3.5.0"]
# ///
"""celery on Redis: two prefork processes; for waiting work a gevent pool. No results, no events."""

import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from celery import Celery

from bench.peers.record import note, now
from bench.peers.shape import WAIT_SECONDS, Sender, main

PREFORK_UP_TO = 100
app = Celery("bench", broker=os.environ["REDIS_URL"])
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=50)


@app.task(name="noop")
def noop(sent_at: float) -> None:
    """Leave the times behind."""
    note(sent_at)


@app.task(name="wait")
def wait() -> None:
    """Wait a second; gevent has replaced `sleep`."""
    began = now()
    time.sleep(WAIT_SECONDS)
    note(began)


class Enqueuer:
    """Enqueues with `delay`; it has no bulk call and no asynchronous one."""

    async def one(self, kind: str, sent_at: float) -> None:
        """Enqueue."""
        noop.delay(sent_at)

    async def many(self, kind: str, count: int) -> None:
        """Enqueue one after another."""
        for _ in range(count):
            if kind == "noop":
                noop.delay(0.0)
            else:
                wait.delay()


@asynccontextmanager
async def sender() -> AsyncIterator[Sender]:
    """Use the app."""
    yield Enqueuer()


def work(concurrency: int) -> None:
    """Become celery's worker: two processes, or greenlets where much waits."""
    program = f"{sys.prefix}/bin/celery"
    pool = ["--pool", "prefork", "--concurrency", "2"]
    if concurrency > PREFORK_UP_TO:
        pool = ["--pool", "gevent", "--concurrency", str(concurrency), "--prefetch-multiplier", "1"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "ERROR"]
    os.execv(program, [program, "-A", "bench.peers.contenders.celery", "worker", *pool, *quiet])


if __name__ == "__main__":
    main(work, sender)
