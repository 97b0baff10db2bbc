"""One shop floods a function from a hundred lanes: how much slower does another shop become?

The function has room for 20 attempts of 50 ms in a worker, so 400 a second. The noisy shop has more
than that waiting in its lanes all the time; the quiet one asks ten times a second, before and
meanwhile.
"""

import argparse
import asyncio
import json
import sys
import time
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
ROOM_PER_SECOND = 400
"""What a worker gets done: 20 attempts at once, of 50 ms."""
QUIET_PER_SECOND = 10.0
ATTEMPT_SECONDS = 0.05
HIGHEST_RATIO = 1.2


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
    return {
        "samples": len(alone),
        "alone_p99_ms": round(1000 * _p99(alone), 1),
        "beside_p99_ms": round(1000 * _p99(beside), 1),
        "alone_p50_ms": round(1000 * sorted(alone)[len(alone) // 2], 1),
        "beside_p50_ms": round(1000 * sorted(beside)[len(beside) // 2], 1),
        "quiet_p99_ratio": round(ratio, 2),
    }


async def _open_shops(running: Running) -> None:
    connection = await asyncpg.connect(running.card.environment["POSTGRES_DSN"])
    await connection.execute(
        "INSERT INTO shop (tenant, name) VALUES ($1, 'noisy'), ($1 + 1, 'quiet')", NOISY
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


async def _flood(running: Running, seconds: float) -> None:
    """Store so much work of the noisy shop, in all its lanes, that it is never done meanwhile."""
    settings = load_settings(running.environment())
    dispatcher = await Dispatcher.open(settings, load_registry(settings.functions))
    count = int(1.5 * seconds * ROOM_PER_SECOND)
    lanes = [f"lane-{number % NOISY_LANES}" for number in range(count)]
    try:
        await dispatcher.dispatch_many(
            [Pause(seconds=ATTEMPT_SECONDS, lane=lane) for lane in lanes], tenant=NOISY
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
    return 0 if found["quiet_p99_ratio"] <= HIGHEST_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
