"""How fast a function answers: durable, waiting, through Caddy's private site."""

import argparse
import asyncio
import json
import statistics
import time

import uvloop

from bench.client import Client
from bench.stack import Running, stack

CLIENTS = 64
WARM_SECONDS = 2.0


async def one_client(client: Client, until: float, latencies: list[float]) -> None:
    """Invoke one after another until the time is over."""
    while (began := time.perf_counter()) < until:
        answer = await client.post("/functions/hello", {"name": "Ana"})
        assert answer.status == 200, (answer.status, answer.body)
        assert answer.json() == "Hello, Ana!"
        latencies.append(time.perf_counter() - began)


async def load(running: Running, clients: int, seconds: float) -> tuple[list[float], float]:
    """Return sorted latencies in seconds, and invocations per second."""
    card = running.card
    token = card.environment["INTERNAL_API_TOKEN"]
    latencies: list[float] = []
    began = time.perf_counter()
    each = [Client(card.private_address, token) for _ in range(clients)]
    await asyncio.gather(*[one_client(one, began + seconds, latencies) for one in each])
    elapsed = time.perf_counter() - began
    for one in each:
        one.close()
    return sorted(latencies), len(latencies) / elapsed


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    seconds = 5.0 if quick else 20.0
    print(f"{CLIENTS} clients for {seconds:g} s, then one client; all on this machine")
    with stack() as running, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(load(running, CLIENTS, WARM_SECONDS))
        many, per_second = runner.run(load(running, CLIENTS, seconds))
        alone, _ = runner.run(load(running, 1, seconds / 2))
    print(
        json.dumps(
            {
                "clients": CLIENTS,
                "invocations": len(many),
                "p50_ms": round(statistics.median(many) * 1000, 2),
                "p99_ms": round(many[int(len(many) * 0.99)] * 1000, 2),
                "per_s": round(per_second),
                "alone_p50_ms": round(statistics.median(alone) * 1000, 2),
                "alone_p99_ms": round(alone[int(len(alone) * 0.99)] * 1000, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
