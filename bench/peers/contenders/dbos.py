# /// script
# dependencies = ["dbos==3.4.0", "psycopg[binary]==3.3.9"]
# ///
"""dbos on Postgres: a queue of workflows, as its documents show it. It polls each second."""

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from dbos import DBOS, DBOSClient, run_dbos_database_migrations

from bench.peers.record import note, now
from bench.peers.shape import WAIT_SECONDS, Sender, gathered, main

QUEUE = "bench"


@DBOS.workflow(name="noop")
async def noop(sent_at: float) -> None:
    """Leave the times behind."""
    note(sent_at)


@DBOS.workflow(name="wait")
async def wait() -> None:
    """Wait a second."""
    began = now()
    await asyncio.sleep(WAIT_SECONDS)
    note(began)


class Enqueuer:
    """Enqueues with the client; it has no bulk call, so 200 callers are together."""

    def __init__(self, client: DBOSClient) -> None:
        self._client = client

    async def one(self, kind: str, sent_at: float) -> None:
        """Enqueue."""
        await self._send("noop", sent_at)

    async def many(self, kind: str, count: int) -> None:
        """Enqueue, 200 at a time."""
        given = (0.0,) if kind == "noop" else ()
        await gathered(self._send(kind, *given) for _ in range(count))

    async def _send(self, kind: str, *given: Any) -> None:
        options: Any = {"queue_name": QUEUE, "workflow_name": kind}
        await self._client.enqueue_async(options, *given)


@asynccontextmanager
async def sender() -> AsyncIterator[Sender]:
    """Open the client, and make the tables the first time."""
    dsn = os.environ["POSTGRES_DSN"]
    run_dbos_database_migrations(system_database_url=dsn)
    client = DBOSClient(system_database_url=dsn)
    yield Enqueuer(client)
    client.destroy()


def work(concurrency: int) -> None:
    """Run a worker until SIGTERM."""
    DBOS(
        config={
            "name": "bench",
            "system_database_url": os.environ["POSTGRES_DSN"],
            "log_level": "ERROR",
            "run_admin_server": False,
            "application_version": "bench",
        }
    )
    DBOS.launch()
    DBOS.register_queue(QUEUE, worker_concurrency=concurrency)
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    stopped.wait()
    DBOS.destroy()


if __name__ == "__main__":
    main(work, sender)
