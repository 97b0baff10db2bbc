# /// script
# dependencies = ["procrastinate==3.10.0", "psycopg[binary]==3.3.9", "uvloop==0.23.0"]
# ///
"""procrastinate on Postgres: one worker on uvloop; finished jobs are deleted."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import procrastinate

from bench.peers.record import note, now
from bench.peers.shape import WAIT_SECONDS, Sender, main, run

BATCH = 1000
app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=os.environ["POSTGRES_DSN"])
)


@app.task(name="noop")
async def noop(sent_at: float) -> None:
    """Leave the times behind."""
    note(sent_at)


@app.task(name="wait")
async def wait() -> None:
    """Wait a second."""
    began = now()
    await asyncio.sleep(WAIT_SECONDS)
    note(began)


class Enqueuer:
    """Defers with `defer_async` and `batch_defer_async`."""

    async def one(self, kind: str, sent_at: float) -> None:
        """Defer."""
        await noop.defer_async(sent_at=sent_at)

    async def many(self, kind: str, count: int) -> None:
        """Defer in batches."""
        task, given = (noop, {"sent_at": 0.0}) if kind == "noop" else (wait, {})
        while count > 0:
            some = min(count, BATCH)
            await task.batch_defer_async(*[given] * some)
            count -= some


async def schema_is_there() -> bool:
    """Say whether the tables are."""
    return bool(
        (
            await app.connector.execute_query_one_async(
                "SELECT to_regclass('procrastinate_jobs') IS NOT NULL AS it"
            )
        )["it"]
    )


@asynccontextmanager
async def sender() -> AsyncIterator[Sender]:
    """Open the app, and make its tables the first time."""
    async with app.open_async():
        if not await schema_is_there():
            await app.schema_manager.apply_schema_async()
        yield Enqueuer()


def work(concurrency: int) -> None:
    """Run a worker."""

    async def _work() -> None:
        async with app.open_async():
            await app.run_worker_async(concurrency=concurrency, delete_jobs="always")

    run(_work())


if __name__ == "__main__":
    main(work, sender)
