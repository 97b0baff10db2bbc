# /// script
# dependencies = ["dramatiq[redis,gevent]==2.2.1", "redis==8.1.0", "gevent==26.9.0",
#                 "hiredis==3.5.0"]
# ///
"""dramatiq on Redis with gevent: one process, as many greenlets as work may wait; hiredis."""

import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench.peers.record import note, now
from bench.peers.shape import WAIT_SECONDS, Sender, main

PREFETCHED = 5000
"""By itself it prefetches by the number of greenlets. 100 with 1,000 prefetched, and 1,000
greenlets by themselves, do 1,300 no-ops a second; 100 with this do 5,700."""

dramatiq.set_broker(RedisBroker(url=os.environ["REDIS_URL"]))


@dramatiq.actor
def noop(sent_at: float) -> None:
    """Leave the times behind."""
    note(sent_at)


@dramatiq.actor
def wait() -> None:
    """Wait a second; gevent has replaced `sleep`."""
    began = now()
    time.sleep(WAIT_SECONDS)
    note(began)


class Enqueuer:
    """Enqueues with `send`; it has no bulk call and no asynchronous one."""

    async def one(self, kind: str, sent_at: float) -> None:
        """Enqueue."""
        noop.send(sent_at)

    async def many(self, kind: str, count: int) -> None:
        """Enqueue one after another."""
        for _ in range(count):
            if kind == "noop":
                noop.send(0.0)
            else:
                wait.send()


@asynccontextmanager
async def sender() -> AsyncIterator[Sender]:
    """Use the broker."""
    yield Enqueuer()


def work(concurrency: int) -> None:
    """Become dramatiq's worker for gevent, with one process."""
    program = f"{sys.prefix}/bin/dramatiq-gevent"
    arguments = ["--processes", "1", "--threads", str(concurrency), "--skip-logging"]
    prefetched = {"dramatiq_queue_prefetch": str(max(PREFETCHED, 2 * concurrency))}
    command = [program, "bench.peers.contenders.dramatiq", *arguments]
    os.execve(program, command, {**os.environ, **prefetched})


if __name__ == "__main__":
    main(work, sender)
