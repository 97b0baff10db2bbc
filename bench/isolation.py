"""What a process of its own costs: a warm call, and a cold one that has to be forked first."""

import argparse
import asyncio
import json
import time

import uvloop

from bench.client import Client
from bench.invoke import milliseconds
from bench.stack import Running, stack

PACKAGES = "functions,bench.isolated"
PAIRS, QUICK_PAIRS = 2000, 400
COLD, QUICK_COLD = 20, 8


async def timed(client: Client, name: str, answer: str) -> float:
    """Invoke one function, and return the seconds it took."""
    began = time.perf_counter()
    found = await client.post(f"/functions/{name}", {})
    assert found.status == 200, (found.status, found.body)
    assert found.json() == answer, found.body
    return time.perf_counter() - began


async def measure(running: Running, pairs: int, cold: int) -> dict[str, float]:
    """Invoke the same handler as a task and in a process, in turns; then in fresh processes."""
    client = Client(running.card.private_address, running.card.environment["INTERNAL_API_TOKEN"])
    for _ in range(20):
        await timed(client, "plain", "done")
        await timed(client, "apart", "done")
    task, process = [], []
    for _ in range(pairs):
        task.append(await timed(client, "plain", "done"))
        process.append(await timed(client, "apart", "done"))
    # Its process is good for one attempt: each call begins with a fork.
    fresh = [await timed(client, "fresh", "done") for _ in range(cold)]
    client.close()
    base = milliseconds(sorted(task), 0.5)
    added = {
        share: milliseconds(sorted(process), share) - milliseconds(sorted(task), share)
        for share in (0.5, 0.99)
    }
    return {
        "task_p50_ms": base,
        "warm_added_ms_p50": round(added[0.5], 2),
        "warm_added_ms_p99": round(added[0.99], 2),
        "cold_ms": round(milliseconds(sorted(fresh), 0.5) - base, 2),
        "cold_worst_ms": round(milliseconds(sorted(fresh), 1) - base, 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    pairs, cold = (QUICK_PAIRS, QUICK_COLD) if quick else (PAIRS, COLD)
    print(
        f"{pairs} calls as a task and {pairs} in a warm process, in turns, one after the other,"
        f" through Caddy, durable; then {cold} that fork. What a process adds to a task."
    )
    with (
        stack(NEXUS_FUNCTIONS=PACKAGES) as running,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        found = runner.run(measure(running, pairs, cold))
    print(json.dumps({"calls": pairs, **found}))


if __name__ == "__main__":
    main()
