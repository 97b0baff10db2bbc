"""Nexus: `nexus work` as in production, and the dispatcher of its gateway."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.peers.functions.in_lane import InLane
from bench.peers.functions.noop import Noop
from bench.peers.functions.wait import Wait
from bench.peers.shape import Sender, main
from runtime.dispatch import Dispatcher
from runtime.event import Event
from runtime.registry import load_registry
from runtime.settings import load_settings


def event(kind: str, number: int, sent_at: float) -> Event:
    """Return an event; `lanes_10` is the kind of no-ops in ten lanes."""
    if kind == "noop":
        return Noop(sent_at=sent_at)
    if kind == "wait":
        return Wait()
    lanes = int(kind.removeprefix("lanes_"))
    return InLane(lane=f"lane-{number % lanes}")


class Caller:
    """Dispatches, durably."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    async def one(self, kind: str, sent_at: float) -> None:
        """Dispatch; when this returns, it is committed."""
        await self._dispatcher.dispatch(event(kind, 0, sent_at))

    async def many(self, kind: str, count: int) -> None:
        """Dispatch many."""
        await self._dispatcher.dispatch_many([event(kind, each, 0.0) for each in range(count)])


@asynccontextmanager
async def sender() -> AsyncIterator[Sender]:
    """Open the dispatcher."""
    settings = load_settings(os.environ)
    dispatcher = await Dispatcher.open(settings, load_registry(settings.functions))
    try:
        yield Caller(dispatcher)
    finally:
        await dispatcher.aclose()


def work(_: int) -> None:
    """Become a worker; how much it runs at once is what each function declares."""
    os.execv(sys.executable, [sys.executable, "-m", "gateway.cli", "work"])


if __name__ == "__main__":
    main(work, sender)
