"""One shop floods a function from a hundred lanes: how much slower does another shop become?

The function has room for 20 attempts of 50 ms in a worker, so 400 a second; the noisy shop keeps
its lanes full, and the quiet one asks ten times a second, before and meanwhile.
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
from bench.stack import Running, stack

NOISY_LANES = 100
AHEAD = 5
"""Invocations that the noisy shop keeps waiting in each lane."""
QUIET_PER_SECOND = 10.0
ATTEMPT_SECONDS = 0.05
HIGHEST_RATIO = 1.2


async def bench(running: Running, seconds: float) -> dict[str, Any]:
    """Measure the quiet shop alone, then beside the noisy one."""
    await _open_shops(running)
    alone = await _quiet(running, seconds)
    noisy = [asyncio.create_task(_flood(running, lane)) for lane in range(NOISY_LANES)]
    await asyncio.sleep(2)
    beside = await _quiet(running, seconds)
    for task in noisy:
        task.cancel()
    done = await asyncio.gather(*noisy, return_exceptions=True)
    broken = [one for one in done if isinstance(one, Exception)]
    if broken:
        raise SystemExit(f"the noisy shop failed: {broken[0]!r}")
    ratio = _p99(beside) / _p99(alone)
    return {
        "samples": len(alone),
        "alone_p99_ms": round(1000 * _p99(alone), 1),
        "beside_p99_ms": round(1000 * _p99(beside), 1),
        "beside_p50_ms": round(1000 * sorted(beside)[len(beside) // 2], 1),
        "quiet_p99_ratio": round(ratio, 2),
    }


async def _open_shops(running: Running) -> None:
    connection = await asyncpg.connect(running.card.environment["POSTGRES_DSN"])
    await connection.execute(
        "INSERT INTO shop (tenant, name) VALUES (71, 'noisy'), (72, 'quiet') ON CONFLICT DO NOTHING"
    )
    await connection.close()


def _client(running: Running) -> Client:
    card = running.card
    return Client(card.private_address, card.environment["INTERNAL_API_TOKEN"])


async def _quiet(running: Running, seconds: float) -> list[float]:
    client = _client(running)
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


async def _flood(running: Running, lane: int) -> None:
    """Keep a lane full: a few fire and forget for each one that is waited for."""
    client = _client(running)
    event = {"seconds": ATTEMPT_SECONDS, "lane": f"lane-{lane}"}
    while True:
        for _ in range(AHEAD - 1):
            answer = await client.post(
                "/functions/pause", event, "Nexus-Shop: noisy", "Prefer: respond-async"
            )
            assert answer.status == 202, (answer.status, answer.body)
        answer = await client.post("/functions/pause", event, "Nexus-Shop: noisy")
        assert answer.status == 200, (answer.status, answer.body)


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
