"""One shop floods a function from a hundred lanes: how much slower does another shop become?

The function has room for 20 attempts of 50 ms in a worker, so 400 a second. The noisy shop has more
than that waiting in its lanes all the time; the quiet one asks ten times a second, before and
meanwhile.

Then two shops flood it at once, and the attempts of one take ten times as long: which part of the
time does each get (`slow_seconds_ratio`; 1: the same), and how long does the quiet one wait?
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from typing import Any

import asyncpg
import uvloop

from bench.client import Client
from bench.functions.pause import Pause
from bench.stack import Running, stack
from runtime.dispatch import Dispatcher
from runtime.registry import load_registry
from runtime.settings import load_settings

NOISY, NOISY_LANES = 71, 100
QUIET, SLOW, FAST = 72, 73, 74
ROOM_PER_SECOND = 400
"""What a worker gets done: 20 attempts at once, of 50 ms."""
QUIET_PER_SECOND = 10.0
ATTEMPT_SECONDS = 0.05
FAST_SECONDS = 0.1
"""Long enough that what the worker itself takes, a millisecond or ten under load, counts little."""
SLOW_SECONDS = 10 * FAST_SECONDS
HIGHEST_RATIO = 1.2
SETTLE_SECONDS = 3.0
SLOW_RATIO = 0.75, 1.35
"""Of the time of the shop with long attempts to that of the one with short ones, as they are asked
for: what they take is a little more, and of short ones a larger part."""


async def bench(running: Running, seconds: float) -> dict[str, Any]:
    """Measure the quiet shop alone, then beside the noisy one."""
    await _open_shops(running)
    alone = await _quiet(running, seconds)
    await _flood(running, seconds)
    beside = await _quiet(running, seconds)
    left = await _waiting(running)
    if not left:
        raise SystemExit("the noisy shop ran out of work: nothing was measured")
    ratio = _p99(beside) / _p99(alone)
    for _ in range(600):
        if not await _waiting(running):
            break
        await asyncio.sleep(0.5)
    mix = await _mix(running, seconds)
    return {
        "samples": len(alone),
        "alone_p99_ms": round(1000 * _p99(alone), 1),
        "beside_p99_ms": round(1000 * _p99(beside), 1),
        "alone_p50_ms": round(1000 * sorted(alone)[len(alone) // 2], 1),
        "beside_p50_ms": round(1000 * sorted(beside)[len(beside) // 2], 1),
        "quiet_p99_ratio": round(ratio, 2),
        **mix,
    }


async def _mix(running: Running, seconds: float) -> dict[str, Any]:
    """Flood from two shops with short and long attempts, and count what each gets."""
    for tenant, each_seconds in ((FAST, FAST_SECONDS), (SLOW, SLOW_SECONDS)):
        # A second worker may come to help: more than both could do.
        await _flood(running, 3 * seconds, tenant, each_seconds)
    await asyncio.sleep(SETTLE_SECONDS)
    before = await _done(running)
    beside = await _quiet(running, seconds)
    after = await _done(running)
    slow, fast = (after[tenant] - before[tenant] for tenant in (SLOW, FAST))
    return {
        "slow_starts": slow,
        "fast_starts": fast,
        "slow_seconds_ratio": round(slow * SLOW_SECONDS / (fast * FAST_SECONDS), 2),
        "beside_slow_p50_ms": round(1000 * sorted(beside)[len(beside) // 2], 1),
        "beside_slow_p99_ms": round(1000 * _p99(beside), 1),
    }


async def _done(running: Running) -> Counter[int]:
    """Return how much each shop has got done."""
    connection = await asyncpg.connect(running.card.environment["POSTGRES_DSN"])
    try:
        rows = await connection.fetch(
            "SELECT i.tenant, count(*) AS done FROM outcome o JOIN invocation i USING (id)"
            " GROUP BY 1"
        )
    finally:
        await connection.close()
    return Counter({row["tenant"]: row["done"] for row in rows})


async def _open_shops(running: Running) -> None:
    connection = await asyncpg.connect(running.card.environment["POSTGRES_DSN"])
    await connection.execute(
        "INSERT INTO shop (tenant, name)"
        " VALUES ($1, 'noisy'), ($2, 'quiet'), ($3, 'slow'), ($4, 'fast')",
        *(NOISY, QUIET, SLOW, FAST),
    )
    await connection.close()


async def _waiting(running: Running) -> int:
    connection = await asyncpg.connect(running.card.environment["POSTGRES_DSN"])
    try:
        return int(await connection.fetchval("SELECT count(*) FROM work WHERE tenant = $1", NOISY))
    finally:
        await connection.close()


async def _quiet(running: Running, seconds: float) -> list[float]:
    card = running.card
    client = Client(card.private_address, card.environment["INTERNAL_API_TOKEN"])
    latencies = []
    began = time.monotonic()
    for number in range(int(seconds * QUIET_PER_SECOND)):
        due = began + number / QUIET_PER_SECOND
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        sent = time.monotonic()
        answer = await client.post(
            "/functions/pause", {"seconds": ATTEMPT_SECONDS}, "Nexus-Shop: quiet"
        )
        assert answer.status == 200, (answer.status, answer.body)
        latencies.append(time.monotonic() - sent)
    client.close()
    return latencies


async def _flood(
    running: Running, seconds: float, tenant: int = NOISY, each_seconds: float = ATTEMPT_SECONDS
) -> None:
    """Store so much work of a shop, in all its lanes, that it is never done meanwhile."""
    settings = load_settings(running.environment())
    dispatcher = await Dispatcher.open(settings, load_registry(settings.functions))
    count = int(1.5 * seconds * ROOM_PER_SECOND * ATTEMPT_SECONDS / each_seconds)
    lanes = [f"lane-{number % NOISY_LANES}" for number in range(count)]
    try:
        await dispatcher.dispatch_many(
            [Pause(seconds=each_seconds, lane=lane) for lane in lanes], tenant=tenant
        )
    finally:
        await dispatcher.aclose()


def _p99(latencies: list[float]) -> float:
    found = sorted(latencies)
    return found[min(int(len(found) * 0.99), len(found) - 1)]


def main() -> int:
    """Run, print, and say by the exit code whether it was fair."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    seconds = 15.0 if args.quick else 60.0
    print(f"{NOISY_LANES} lanes of one shop against {QUIET_PER_SECOND:g}/s of another")
    environment = {"NEXUS_FUNCTIONS": "bench.functions", "NEXUS_SCALE_SECONDS": "3600"}
    with stack(**environment) as running, asyncio.Runner(loop_factory=uvloop.new_event_loop) as run:
        found = run.run(bench(running, seconds))
    print(json.dumps(found))
    least, most = SLOW_RATIO
    fair = found["quiet_p99_ratio"] <= HIGHEST_RATIO
    return 0 if fair and least <= found["slow_seconds_ratio"] <= most else 1


if __name__ == "__main__":
    sys.exit(main())
