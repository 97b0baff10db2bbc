"""The shape of a contender: how to work, and how to send. Standard library alone.

A contender's file declares the packages it needs as a script does (PEP 723) and ends with
`main(work, sender)`. The bench runs it with the Python of its environment:

    work CONCURRENCY            be a worker until SIGTERM
    send KIND COUNT             send many at once
    rates SINGLE MANY           how fast one caller sends, one by one and in bulk
    pace COUNT                  send to an idle worker, one after another

Kinds: `noop` leaves its times behind (`record`), `wait` sleeps a second first.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from bench.peers import record

CALLERS = 200
PAUSE_SECONDS = 0.01
LOOK_SECONDS = 0.003
WAIT_SECONDS = 1.0


class Sender(Protocol):
    """Sends work to the workers of a contender."""

    async def one(self, kind: str, sent_at: float) -> None:
        """Send one; when this returns, the contender has it."""

    async def many(self, kind: str, count: int) -> None:
        """Send many in the way that the contender offers for it."""


Open = Callable[[], AbstractAsyncContextManager[Sender]]


def main(work: Callable[[int], None], sender: Open) -> None:
    """Do what the command line says."""
    command, *numbers = sys.argv[1:]
    if command == "work":
        work(int(numbers[0]))
    else:
        found = run(_send(sender, command, numbers))
        print(json.dumps(found))


def run(coroutine: Any) -> Any:
    """Run on uvloop where the environment has it."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(coroutine)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


async def _send(sender: Open, command: str, arguments: list[str]) -> Any:
    async with sender() as opened:
        if command == "send":
            return await opened.many(arguments[0], int(arguments[1]))
        if command == "callers":
            return await callers(opened, arguments[0], int(arguments[1]))
        if command == "pace":
            return await pace(opened, int(arguments[0]))
        return await rates(opened, *map(int, arguments))


async def pace(sender: Sender, count: int) -> None:
    """Send one after another, each to a worker that has nothing to do."""
    file = record.place()
    for _ in range(count):
        before = record.count(file)
        await sender.one("noop", record.now())
        while record.count(file) == before:  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(LOOK_SECONDS)
        await asyncio.sleep(PAUSE_SECONDS)


async def rates(sender: Sender, single: int, many: int) -> dict[str, float]:
    """Return how many per second one caller sends: awaiting each, and in bulk."""
    await sender.one("noop", 0.0)  # connections are there
    began = record.now()
    for _ in range(single):
        await sender.one("noop", 0.0)
    alone = single / (record.now() - began)
    began = record.now()
    await sender.many("noop", many)
    return {"single": alone, "batch": many / (record.now() - began)}


async def callers(sender: Sender, kind: str, count: int) -> dict[str, float]:
    """Have 200 callers send, each awaiting its own; return how many per second in all."""
    left = iter(range(count))

    async def call() -> None:
        for _ in left:
            await sender.one(kind, 0.0)

    await sender.one(kind, 0.0)
    began = record.now()
    await asyncio.gather(*[call() for _ in range(CALLERS)])
    return {"per_s": count / (record.now() - began)}


async def gathered(sends: Iterable[Any]) -> None:
    """Await many sends together, as a program would that has no bulk call."""
    waiting: list[Any] = []
    for send in sends:
        waiting.append(send)
        if len(waiting) == CALLERS:
            await asyncio.gather(*waiting)
            waiting.clear()
    await asyncio.gather(*waiting)
