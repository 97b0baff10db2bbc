"""Restart the gateway again and again under load: how many requests fail?

A steady 100 requests a second through Caddy: half are durable calls of `hello` that wait for their
result, half are cheap reads. Every request has a connection of its own.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections import Counter

import httpx2

from bench.stack import ROOT, Running, stack
from runtime.host.stack import Stack

RESTARTS, QUICK_RESTARTS = 20, 5
PER_SECOND = 100.0


def main() -> None:
    """Run it, and print one JSON object last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_RESTARTS} restarts")
    parser.add_argument("--per-second", type=float, default=PER_SECOND)
    args = parser.parse_args()
    restarts = QUICK_RESTARTS if args.quick else RESTARTS
    with stack() as running:
        print(json.dumps(asyncio.run(measure(running, restarts, args.per_second))))


async def measure(running: Running, restarts: int, per_second: float) -> dict[str, object]:
    """Restart under load; return what the clients saw."""
    stop = asyncio.Event()
    load = asyncio.create_task(steady_load(running.card, per_second, stop))
    seconds = []
    for number in range(restarts):
        began = time.monotonic()
        await asyncio.to_thread(restart, running)
        seconds.append(time.monotonic() - began)
        print(f"restart {number + 1} of {restarts}: {seconds[-1]:.2f} s", flush=True)
    stop.set()
    seen, times = await load
    times.sort()
    return {
        "restarts": restarts,
        "requests": sum(seen.values()),
        "failed": sum(count for status, count in seen.items() if status != "200"),
        "answers": dict(seen),
        "p50_ms": round(1000 * times[len(times) // 2], 1),
        "p99_ms": round(1000 * times[len(times) * 99 // 100], 1),
        "longest_ms": round(1000 * times[-1], 1),
        "restart_seconds": round(sum(seconds) / len(seconds), 2),
    }


def restart(running: Running) -> None:
    """Replace the gateway, as an operator would."""
    command = [sys.executable, "-P", "-m", "gateway.cli", "restart", "gateway"]
    environment = {"NEXUS_STATE_DIR": str(running.folder), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"the restart failed: {done.stderr.decode()}")


async def steady_load(
    card: Stack, per_second: float, stop: asyncio.Event
) -> tuple[Counter[str], list[float]]:
    """Send requests at a steady rate until told to stop; count answers and take their times."""
    seen: Counter[str] = Counter()
    times: list[float] = []
    headers = {"Authorization": f"Bearer {card.environment['INTERNAL_API_TOKEN']}"}
    limits = httpx2.Limits(max_connections=500, max_keepalive_connections=0)
    async with httpx2.AsyncClient(timeout=60, limits=limits, trust_env=False) as client:

        async def call(number: int) -> None:
            began = time.monotonic()
            try:
                if number % 2:
                    path = f"{card.private_address}/functions/hello"
                    answer = await client.post(path, json={"name": "Ana"}, headers=headers)
                else:
                    answer = await client.get(f"{card.address}/healthz")
                seen[str(answer.status_code)] += 1
            except httpx2.HTTPError as error:
                seen[f"{type(error).__name__}: {error}"] += 1
            times.append(time.monotonic() - began)

        async with asyncio.TaskGroup() as calls:
            began, number = time.monotonic(), 0
            while not stop.is_set():
                number += 1
                calls.create_task(call(number))
                await asyncio.sleep(max(0, began + number / per_second - time.monotonic()))
    return seen, times


if __name__ == "__main__":
    main()
