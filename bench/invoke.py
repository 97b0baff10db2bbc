"""How fast a function answers: durable, waiting, through Caddy's private site."""

import argparse
import asyncio
import json
import time

import uvloop

from bench.client import Client
from bench.stack import Running, stack

CLIENTS = 64
WARM_SECONDS = 2.0
PACE_PER_SECOND = 200


async def one_client(
    client: Client, until: float, pause: float, place: float, latencies: list[float]
) -> None:
    """Invoke until the time is over: one after another, or one each `pause` seconds."""
    due = time.perf_counter() + pause * place
    while True:
        if pause:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            began = due  # counted from when it was due: a late start is latency too
            due += pause
        else:
            began = time.perf_counter()
        if began >= until:
            return
        answer = await client.post("/functions/hello", {"name": "Ana"})
        assert answer.status == 200, (answer.status, answer.body)
        assert answer.json() == "Hello, Ana!"
        latencies.append(time.perf_counter() - began)


async def load(
    running: Running, clients: int, seconds: float, per_second: float = 0
) -> tuple[list[float], float]:
    """Return sorted latencies in seconds, and invocations per second.

    Args:
        running: the stack.
        clients: connections.
        seconds: of load.
        per_second: of all clients together; 0: each as fast as it is answered.
    """
    card = running.card
    token = card.environment["INTERNAL_API_TOKEN"]
    latencies: list[float] = []
    began = time.perf_counter()
    each = [Client(card.private_address, token) for _ in range(clients)]
    pause = clients / per_second if per_second else 0
    await asyncio.gather(
        *[
            one_client(one, began + seconds, pause, place / clients, latencies)
            for place, one in enumerate(each)
        ]
    )
    elapsed = time.perf_counter() - began
    for one in each:
        one.close()
    return sorted(latencies), len(latencies) / elapsed


def milliseconds(latencies: list[float], share: float) -> float:
    """Return the latency that this share of all did not exceed."""
    return round(latencies[min(int(len(latencies) * share), len(latencies) - 1)] * 1000, 2)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    seconds = 6.0 if quick else 20.0
    print(
        f"{CLIENTS} clients, {seconds:g} s each: as fast as they are answered (per_s,"
        f" saturated_…); together {PACE_PER_SECOND}/s (p50_ms, p99_ms); then one client alone."
        " Load, Caddy, gateway, worker and Postgres share this machine."
    )
    with stack() as running, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(load(running, CLIENTS, WARM_SECONDS))
        many, per_second = runner.run(load(running, CLIENTS, seconds))
        paced, offered = runner.run(load(running, CLIENTS, seconds, PACE_PER_SECOND))
        alone, _ = runner.run(load(running, 1, seconds / 2))
    found = {
        "clients": CLIENTS,
        "p50_ms": milliseconds(paced, 0.5),
        "p99_ms": milliseconds(paced, 0.99),
        "paced_per_s": round(offered),
        "per_s": round(per_second),
        "saturated_p50_ms": milliseconds(many, 0.5),
        "saturated_p99_ms": milliseconds(many, 0.99),
        "alone_p50_ms": milliseconds(alone, 0.5),
        "alone_p99_ms": milliseconds(alone, 0.99),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
