"""End every kind of process in order, one after the other, under load: is anybody turned away?

SIGTERM to worker, gateway, Caddy, Redis and Chroma in turn, and `nexus restart` for the first
three, while short calls wait for their results and long ones run for seconds. A call that had to
run a second time was forced; a request that failed was turned away.
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import uvloop

from bench.stack import ROOT, Running, stack
from bench.steady import call_steadily

SHORT_PER_SECOND, LONG_PER_SECOND = 50.0, 2.0
LONG_SECONDS = 4.0
KINDS = ("worker", "gateway", "web", "redis", "chroma")
RESTARTED = ("gateway", "worker", "web")
READY_SECONDS = 30.0
REST_SECONDS = 0.5


async def bench(running: Running, rounds: int) -> dict[str, Any]:
    """Load, and end everything `rounds` times."""
    ending = asyncio.create_task(_end_all(running, rounds))
    seconds = 2.0 + rounds * (len(KINDS) + len(RESTARTED)) * 2.5
    short = call_steadily(running, "hello", {"name": "Ana"}, SHORT_PER_SECOND, seconds, "short")
    event = {"seconds": LONG_SECONDS}
    long = call_steadily(running, "pause", event, LONG_PER_SECOND, seconds, "long")
    shorts, longs = await asyncio.gather(short, long)
    ended = await ending
    return {
        "ended": ended,
        "calls": len(shorts.latencies) + len(longs.latencies),
        "forced": sum(taken > 1 for taken in longs.results),
        "failed_requests": shorts.failed.total() + longs.failed.total(),
        "sent_again": shorts.sent_again + longs.sent_again,
        "failed": dict(shorts.failed + longs.failed),
        "lost": shorts.lost + longs.lost,
        "p50_ms": shorts.milliseconds(0.5),
        "p99_ms": shorts.milliseconds(0.99),
    }


async def _end_all(running: Running, rounds: int) -> int:
    ended = 0
    await asyncio.sleep(1)
    for _ in range(rounds):
        for name in KINDS:
            pid = running.pids()[name]
            os.kill(pid, signal.SIGTERM)
            await _again(running, name, pid)
            ended += 1
        for name in RESTARTED:
            await asyncio.to_thread(_restart, running, name)
            ended += 1
    return ended


async def _again(running: Running, name: str, former: int) -> None:
    """Wait until another process of that name serves."""
    until = time.monotonic() + READY_SECONDS
    while running.pids().get(name) in (None, former) or not running.ready():
        if time.monotonic() > until:
            raise SystemExit(f"{name} did not come back")
        await asyncio.sleep(0.05)
    await asyncio.sleep(REST_SECONDS)


def _restart(running: Running, name: str) -> None:
    """Replace a process, as an operator would."""
    command = [sys.executable, "-P", "-m", "gateway.cli", "restart", name]
    environment = {"NEXUS_STATE_DIR": str(running.folder), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"the restart failed: {done.stderr.decode()}")


def main() -> int:
    """Run, print, and say by the exit code whether nobody was turned away."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round")
    args = parser.parse_args()
    rounds = 1 if args.quick else 5
    print(
        f"{SHORT_PER_SECOND:g} short calls/s and {LONG_PER_SECOND:g} of {LONG_SECONDS:g} s;"
        f" {rounds} rounds of SIGTERM to {', '.join(KINDS)} and restarts of {', '.join(RESTARTED)}"
    )
    # As in production: 20 s to drain; `nexus up` on a desk gives 2.
    environment = {"NEXUS_FUNCTIONS": "functions,bench.functions", "NEXUS_DRAIN_SECONDS": "20"}
    with stack(**environment) as running, asyncio.Runner(loop_factory=uvloop.new_event_loop) as run:
        found = run.run(bench(running, rounds))
    print(json.dumps(found))
    return 1 if found["forced"] or found["failed_requests"] or found["lost"] else 0


if __name__ == "__main__":
    sys.exit(main())
