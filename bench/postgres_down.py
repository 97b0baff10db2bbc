"""Postgres is killed again and again: is anything acknowledged lost, and how soon does it go on?

Senders keep to a steady pace and repeat what was not acknowledged, as a shop's backend would. What
counts begins when Postgres takes connections again: until then nobody could store anything.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import Any

import asyncpg
import uvloop

from bench.client import Client
from bench.stack import Running, stack
from state.ids import parse_id

PER_SECOND = 50.0
KILLS, QUICK_KILLS = 10, 3
BETWEEN_SECONDS = 5.0
AWAY_SECONDS = 30.0
LOOK_SECONDS = 0.01
DONE_SECONDS = 60.0
"""For everything to get going again, and to be done in the end."""
FIRST_AT_MOST_MS = 2000.0


class Senders:
    """Sends events at a steady pace until each is acknowledged."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._stopping = asyncio.Event()
        self.acknowledged: dict[int, float] = {}
        """When each invocation was acknowledged first."""
        self.sent = 0
        self.failed: Counter[str] = Counter()
        """Requests by status, or by what broke; each was repeated."""

    async def run(self) -> None:
        """Send until told to stop; then until the last one is acknowledged."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while not self._stopping.is_set():
                group.create_task(self._send(self.sent))
                self.sent += 1
                await asyncio.sleep(max(0.0, began + self.sent / PER_SECOND - time.monotonic()))

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopping.set()

    async def _send(self, number: int) -> None:
        card = self._running.card
        client = Client(card.private_address, card.environment["INTERNAL_API_TOKEN"])
        headers = (f"Idempotency-Key: down-{number}", "Prefer: respond-async")
        while True:
            try:
                async with asyncio.timeout(AWAY_SECONDS):
                    answer = await client.post("/functions/hello", {"name": "Ana"}, *headers)
            except (OSError, TimeoutError) as error:
                self.failed[type(error).__name__] += 1
            else:
                if answer.status == 202:
                    self.acknowledged.setdefault(parse_id(answer.json()["id"]), time.monotonic())
                    break
                self.failed[str(answer.status)] += 1
            await asyncio.sleep(LOOK_SECONDS)
        client.close()


async def bench(running: Running, kills: int) -> dict[str, Any]:
    """Load and kill; then count what became of everything that was acknowledged."""
    senders = Senders(running)
    sending = asyncio.create_task(senders.run())
    away, first = [], []
    for number in range(kills):
        await asyncio.sleep(BETWEEN_SECONDS)
        killed = time.monotonic()
        os.kill(running.pids()["postgres"], signal.SIGKILL)
        back = await _back(running)
        async with asyncio.timeout(DONE_SECONDS):
            while not (after := [at for at in senders.acknowledged.values() if at > back]):  # noqa: ASYNC110 - senders tell nobody
                await asyncio.sleep(LOOK_SECONDS)
        away.append(back - killed)
        first.append(min(after) - back)
        print(
            f"kill {number + 1} of {kills}: Postgres away for {away[-1]:.2f} s,"
            f" first acknowledgement {1000 * first[-1]:.0f} ms after its return",
            flush=True,
        )
    senders.stop()
    async with asyncio.timeout(DONE_SECONDS):
        await sending
    return {
        "kills": kills,
        "sent": senders.sent,
        "acknowledged": len(senders.acknowledged),
        "failed": dict(senders.failed),
        **await _kept(running, senders),
        "away_ms": {"longest": round(1000 * max(away))},
        "first_ack_ms": {"median": round(1000 * sorted(first)[len(first) // 2])}
        | {"longest": round(1000 * max(first))},
    }


async def _connect(running: Running) -> "asyncpg.Connection[Any]":
    return await asyncpg.connect(running.card.environment["POSTGRES_DSN"], timeout=1)


async def _back(running: Running) -> float:
    """Wait until Postgres takes connections again, and return that moment."""
    await asyncio.sleep(LOOK_SECONDS)
    while True:
        with suppress(OSError, TimeoutError, asyncpg.PostgresError):
            connection = await _connect(running)
            at = time.monotonic()
            await connection.close()
            return at
        await asyncio.sleep(LOOK_SECONDS)


async def _kept(running: Running, senders: Senders) -> dict[str, int]:
    """Return how many acknowledged ones have no good outcome in time, and how many are too many."""
    numbers = list(senders.acknowledged)
    connection = await _connect(running)
    try:
        until = time.monotonic() + DONE_SECONDS
        while True:
            done = await connection.fetchval(
                "SELECT count(*) FROM outcome WHERE id = ANY ($1::bigint[]) AND state = 'd'",
                numbers,
            )
            if done == len(numbers) or time.monotonic() > until:
                break
            await asyncio.sleep(0.1)
        stored = await connection.fetchval(
            "SELECT count(*) FROM invocation JOIN function USING (fn) WHERE name = 'hello'"
        )
        return {"lost": len(numbers) - int(done), "doubled": int(stored) - senders.sent}
    finally:
        await connection.close()


def main() -> int:
    """Run, print, and say by the exit code whether nothing was lost and it went on soon."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_KILLS} kills")
    args = parser.parse_args()
    kills = QUICK_KILLS if args.quick else KILLS
    print(f"{PER_SECOND:g} events/s, {kills} times kill -9 of Postgres")
    with stack() as running, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(bench(running, kills))
    print(json.dumps(found))
    late = found["first_ack_ms"]["longest"] > FIRST_AT_MOST_MS
    return 1 if found["lost"] or found["doubled"] or late else 0


if __name__ == "__main__":
    sys.exit(main())
