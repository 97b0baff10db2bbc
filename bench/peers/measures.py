"""What is measured of each contender, and of Nexus alone."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from bench.peers import record
from bench.peers.processes import LOOK_SECONDS, Place
from bench.peers.sizes import Sizes
from bench.servers import Servers

CONCURRENCY = 100
WARM = 5
OWNED = """
    SELECT EXISTS (SELECT FROM work WHERE worker IS NOT NULL)
        OR EXISTS (SELECT FROM lane WHERE worker IS NOT NULL)
"""
START_SECONDS = 20


@dataclass(frozen=True)
class Arena:
    """The servers that a contender works on, emptied before each measure."""

    servers: Servers
    place: Place
    keep: bool = False
    """Delete nothing but what is due: the database has grown, and is to stay so."""

    def clear(self) -> None:
        """Delete all work of anybody."""
        name = self.place.name
        self.servers.empty_redis()
        self.place.record.unlink(missing_ok=True)
        if name == "nexus" and self.keep:
            due = "DELETE FROM work WHERE lane IS NULL AND run_at < now() AND fn <> 0"
            self.servers.run(due, database=self.place.database)
        elif name == "nexus":
            tables = "work, lane, invocation, outcome, change, once"
            self.servers.run(f"TRUNCATE {tables}", database=self.place.database)
        elif self.place.database != "nexus":
            self.servers.run(
                f"DROP DATABASE {self.place.database} WITH (FORCE)",
                f"CREATE DATABASE {self.place.database}",
                database="postgres",
            )


def dispatch(arena: Arena, sizes: Sizes, kind: str = "noop") -> float:
    """Return no-ops per second, sent before the worker started.

    From the first handler to the last; of Nexus, to the commit of the last outcome.
    """
    arena.clear()
    arena.place.sender("send", kind, sizes.jobs)
    with arena.place.worker(CONCURRENCY) as worker, settling(arena) as settled:
        times = worker.until(sizes.jobs, sizes.seconds)
        if len(times) < 2:
            raise RuntimeError("nothing was done")
        ended = settled() if len(times) >= sizes.jobs else times[-1].later
    return float(len(times) / (ended - times[0].later))


def idle_latency(arena: Arena, count: int) -> dict[str, float]:
    """Return how long it takes from sending to the start of the handler, nothing else to do."""
    arena.clear()
    arena.place.sender("send", "noop", WARM)
    with arena.place.worker(CONCURRENCY) as worker:
        worker.until(WARM, START_SECONDS)
        arena.place.record.write_bytes(b"")  # emptied, not deleted: the worker has it open
        arena.place.sender("pace", count)
        found = sorted(one.later - one.earlier for one in record.read(arena.place.record))
    found = [seconds * 1000 for seconds in found]
    return {"p50_ms": found[len(found) // 2], "p99_ms": found[int(len(found) * 0.99)]}


def waits(arena: Arena, count: int, seconds: float) -> dict[str, float] | None:
    """Return how long handlers take that each wait a second, and the worker's memory.

    From the first start to the last end. None: not all of them ended in time.
    """
    arena.clear()
    arena.place.sender("send", "wait", count)
    with arena.place.worker(count) as worker, settling(arena) as settled:
        times = worker.until(count, seconds)
        if len(times) < count:
            return None
        ended = settled()
    began = min(one.earlier for one in times)
    return {"wall_s": ended - began, "pss_mb": worker.pss_mb}


def enqueue(arena: Arena, sizes: Sizes) -> dict[str, float]:
    """Return how many per second are sent, while no worker runs."""
    arena.clear()
    found: dict[str, float] = arena.place.sender("rates", sizes.single, sizes.many)
    if arena.place.name == "nexus":
        arena.clear()
        found["callers_200"] = arena.place.sender("callers", "noop", sizes.many)["per_s"]
    return found


def together(arena: Arena, sizes: Sizes) -> float:
    """Return how many per second go from 200 callers to a committed outcome, worker running."""
    arena.clear()
    with arena.place.worker(CONCURRENCY) as worker, settling(arena) as settled:
        arena.place.sender("send", "noop", 1)  # the worker is up
        worker.until(1, sizes.seconds)
        before = time.monotonic()
        arena.place.sender("callers", "noop", sizes.jobs)
        times = worker.until(sizes.jobs + 2, sizes.seconds)
        ended = settled()
    began = [one.later for one in times if one.later > before]
    return float((len(began) - 1) / (ended - began[1]))  # the first one only opens the connection


@contextmanager
def settling(arena: Arena) -> Iterator[Any]:
    """Give a function that waits until what has begun is committed, and returns that moment."""
    if arena.place.name != "nexus":
        yield record.now
        return
    with asyncio.Runner() as runner:
        dsn = arena.servers.dsn_of(arena.place.database)
        connection = runner.run(asyncpg.connect(dsn))

        async def empty() -> float:
            while await connection.fetchval(OWNED):  # noqa: ASYNC110 - nothing would tell us
                await asyncio.sleep(LOOK_SECONDS)
            return record.now()

        yield lambda: runner.run(empty())
        runner.run(connection.close())
