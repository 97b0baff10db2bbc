"""Redis stands still, then is killed again and again: is anything lost, and how slow is it?

The bell is silent, so workers find work by looking into Postgres each second.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from contextlib import suppress
from typing import Any

import uvloop

from bench.stack import Running, stack
from bench.steady import call_steadily

PER_SECOND = 50.0
SECONDS, QUICK_SECONDS = 600.0, 20.0
KILL_EACH_SECONDS = 0.2
LATEST_MS = 3000.0
"""A call that takes longer has waited for Redis (p99)."""


async def bench(running: Running, seconds: float) -> dict[str, Any]:
    """Load; half of the time Redis is stopped (connections hang), half it is dead."""
    calling = asyncio.create_task(
        call_steadily(running, "hello", {"name": "Ana"}, PER_SECOND, seconds, "down")
    )
    await _standing_still(running, seconds / 2)
    await _dead(running, seconds / 2)
    calls = await calling
    return {
        "calls": len(calls.latencies),
        "lost": calls.lost,
        "failed_requests": calls.failed.total(),
        "p50_ms": calls.milliseconds(0.5),
        "p99_ms": calls.milliseconds(0.99),
    }


async def _standing_still(running: Running, seconds: float) -> None:
    pid = running.pids()["redis"]
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        os.kill(pid, signal.SIGCONT)


async def _dead(running: Running, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:  # the supervisor starts it again
        if pid := running.pids().get("redis"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(KILL_EACH_SECONDS)


def main() -> int:
    """Run, print, and say by the exit code whether nothing was lost or late."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SECONDS:g} s")
    args = parser.parse_args()
    seconds = QUICK_SECONDS if args.quick else SECONDS
    print(f"{PER_SECOND:g} calls/s that wait for their result, {seconds:g} s without Redis")
    with stack() as running, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(bench(running, seconds))
    print(json.dumps(found))
    return 1 if found["lost"] or found["p99_ms"] > LATEST_MS else 0


if __name__ == "__main__":
    sys.exit(main())
