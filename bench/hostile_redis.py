"""Somebody writes whatever he likes into our Redis: is his code run, and is anything of ours lost?

Jobs that call os.system, pickles in every field that RQ unpickles, hashes that are none, a flood
of ids that lead nowhere, `rq:suspended`, orders to shut down, and FLUSHALL, all of it under load.
"""

import argparse
import asyncio
import json
import pickle
import sys
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis.asyncio as redis
import uvloop

from bench.kill_functions import LANES, LEASE_SECONDS, Load, judge, prepare, settle
from bench.stack import Running, stack

PER_SECOND = 100.0
IDS, QUICK_IDS = 1_000_000, 100_000
QUEUES = ("append", "hello", "default")


class Evil:
    """A pickle that leaves a file behind when it is read."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        """Say what reading it does."""
        return (open, (str(self.trace), "w"))


class Stranger:
    """Writes into Redis; `done` counts what."""

    def __init__(self, url: str, trace: Path, ids: int) -> None:
        self._url, self._trace, self._ids = url, trace, ids
        self.done: Counter[str] = Counter()

    async def run(self, seconds: float) -> None:
        """Do harm for this long."""
        acts: list[Callable[[Any], Awaitable[None]]] = [
            self._job_that_calls,
            self._pickles,
            self._no_hashes,
            self._orders,
            self._flush,
        ]
        until = time.monotonic() + seconds
        async with redis.Redis.from_url(self._url) as client:
            await self._flood(client)
            while time.monotonic() < until:
                for act in acts:
                    with suppress(redis.RedisError, OSError):
                        await act(client)
                        self.done[act.__name__.strip("_")] += 1
                    await asyncio.sleep(0.05)

    async def _job_that_calls(self, client: Any) -> None:
        """Write jobs, as JSON and as a pickle, that call os.system."""
        call: list[Any] = ["os.system", None, [f"touch {self._trace}"], {}]
        for name, data in (("json", json.dumps(call).encode()), ("pickle", pickle.dumps(call))):
            for queue in QUEUES:
                job = f"evil-{name}-{queue}"
                fields = {"data": zlib.compress(data), "origin": queue, "status": "queued"}
                await client.hset(f"rq:job:{job}", mapping={**fields, "created_at": "x"})
                await client.lpush(f"rq:queue:{queue}", job)
                await client.hset(f"rq:job:bell-{queue}", mapping=fields)  # our own job, too

    async def _pickles(self, client: Any) -> None:
        """Put a pickle into every field that RQ unpickles."""
        evil = pickle.dumps(Evil(self._trace))
        for queue in QUEUES:
            fields = dict.fromkeys(("data", "meta", "result", "exc_info"), evil)
            await client.hset(f"rq:job:bell-{queue}", mapping=fields)
            await client.sadd("rq:queues", f"rq:queue:{queue}")

    async def _no_hashes(self, client: Any) -> None:
        """Make keys something else than they are."""
        for queue in QUEUES:
            await client.delete(f"rq:queue:{queue}", f"rq:job:bell-{queue}")
            await client.set(f"rq:queue:{queue}", b"\xff\x00 not a list")
            await client.lpush(f"rq:job:bell-{queue}", b"not a hash")
        await asyncio.sleep(0.2)
        for queue in QUEUES:
            await client.delete(f"rq:queue:{queue}", f"rq:job:bell-{queue}")

    async def _orders(self, client: Any) -> None:
        """Suspend all workers, and order every one of them to shut down."""
        await client.set("rq:suspended", 1)
        async for key in client.scan_iter("rq:worker:*"):
            name = key.decode().removeprefix("rq:worker:")
            for order in ("shutdown", "kill-horse", "stop-job"):
                await client.publish(f"rq:pubsub:{name}", json.dumps({"command": order}))

    async def _flush(self, client: Any) -> None:
        """Delete everything."""
        await client.flushall()

    async def _flood(self, client: Any) -> None:
        """List ids that lead nowhere."""
        for queue in QUEUES[:2]:
            for start in range(0, self._ids // 2, 10_000):
                await client.rpush(f"rq:queue:{queue}", *(f"x{start + n}" for n in range(10_000)))
        self.done["fake_ids"] = self._ids


async def bench(running: Running, seconds: float, ids: int) -> dict[str, Any]:
    """Load and harm; then wait until nothing is owed, and count."""
    environment = running.card.environment
    dsn = environment["POSTGRES_DSN"]
    await prepare(dsn)
    trace = running.folder / "code-was-run"
    load, stranger = Load(running), Stranger(environment["REDIS_URL"], trace, ids)
    until = asyncio.get_running_loop().time() + seconds
    streams = [load.stream(f"lane-{n}", until, LANES / PER_SECOND) for n in range(LANES)]
    await asyncio.gather(stranger.run(seconds), *streams)
    owed = await settle(dsn)
    found = await judge(dsn, load)
    print("harm:", ", ".join(f"{kind} {n:,}" for kind, n in sorted(stranger.done.items())))
    return {
        "acked": len(load.acked),
        "acts": stranger.done.total() - ids,
        "code_run": int(trace.exists()),
        "effects_lost": found["lost"],
        "doubled_commits": found["doubled_commits"],
        "out_of_order": found["out_of_order"],
        "stuck": owed,
    }


def main() -> int:
    """Run, print, and say by the exit code whether everything was right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    seconds, ids = (20.0, QUICK_IDS) if args.quick else (120.0, IDS)
    print(f"{PER_SECOND:g}/s on {LANES} lanes for {seconds:g} s; {ids:,} ids that lead nowhere")
    environment = {"NEXUS_LEASE_SECONDS": str(LEASE_SECONDS), "NEXUS_FUNCTIONS": "bench.functions"}
    with stack(**environment) as running, asyncio.Runner(loop_factory=uvloop.new_event_loop) as run:
        found = run.run(bench(running, seconds, ids))
    print(json.dumps(found))
    return 1 if any(found[name] for name in found if name not in ("acked", "acts")) else 0


if __name__ == "__main__":
    sys.exit(main())
