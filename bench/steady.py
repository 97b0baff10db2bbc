"""A steady load of durable invocations through Caddy, and what a client sees of it."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from bench.client import Client
from bench.stack import Running

ANSWER_SECONDS = 60.0
PAUSE_SECONDS = 0.05
"""A client whose request failed tries again after this."""


@dataclass
class Calls:
    """What became of the calls of one kind."""

    latencies: list[float] = field(default_factory=list)
    """Seconds from when a call was due until its result was there."""
    results: list[Any] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    """Requests that got no answer, or one that says try again; each was tried again."""
    sent_again: int = 0
    """Requests that met an idle connection just as it was closed; `Client.sent_again`."""
    lost: int = 0
    """Calls that had no result in time."""

    def milliseconds(self, share: float) -> float:
        """Return the latency that this share of all calls did not exceed."""
        found = sorted(self.latencies)
        return round(1000 * found[min(int(len(found) * share), len(found) - 1)], 1)


async def call_steadily(
    running: Running, name: str, event: dict[str, Any], per_second: float, seconds: float, key: str
) -> Calls:
    """Call a function at a steady rate, each call with a connection of its own when it needs one.

    Args:
        running: the stack.
        name: of the function.
        event: its event; `number`, where it has one, counts the calls.
        per_second: calls that begin in a second, whatever became of those before.
        seconds: for how long.
        key: begins the idempotency key of each call.
    """
    calls = Calls()
    idle: list[Client] = []
    card = running.card
    token = card.environment["INTERNAL_API_TOKEN"]

    async def call(number: int, due: float) -> None:
        client = idle.pop() if idle else Client(card.private_address, token)
        data = {**event, "number": number} if "number" in event else event
        header = f"Idempotency-Key: {key}-{number}"
        until = due + ANSWER_SECONDS
        while (left := until - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(left):
                    answer = await client.post(f"/functions/{name}", data, header)
            except (OSError, TimeoutError) as error:
                calls.failed[type(error).__name__] += 1
            else:
                if answer.status == 200:
                    calls.latencies.append(time.monotonic() - due)
                    calls.results.append(answer.json())
                    idle.append(client)
                    return
                calls.failed[str(answer.status)] += 1
            await asyncio.sleep(PAUSE_SECONDS)
        calls.lost += 1

    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(round(per_second * seconds)):
            due = began + number / per_second
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            group.create_task(call(number, due))
    for client in idle:
        calls.sent_again += client.sent_again
        client.close()
    return calls
