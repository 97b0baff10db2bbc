"""The inbox of a running attempt: newer events of its lane (`burst=Steer()`).

Safe to run twice: an event stays in line until the attempt that took it has ended well, and is
deleted in that commit, under the lane's fence. Any other end leaves it to the next run.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress

from runtime.attempt import Attempt
from runtime.event import Event, decode
from runtime.steps import patiently
from state.database import Database
from state.work import Line, newer_than

LOOK_SECONDS = 1.0


class AttemptInbox:
    """See `runtime.context.Inbox`."""

    def __init__(self, attempt: Attempt, database: Database, check: Callable[[], None]) -> None:
        self._attempt, self._database, self._check = attempt, database, check
        self._newer_came = attempt.newer or asyncio.Event()  # for others nothing ever comes
        self._taking = asyncio.Lock()

    async def take(self) -> Sequence[Event]:
        """Return what has come since the last call, oldest first; empty: nothing."""
        return await self._take(None)

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Wait for what comes, one after the other."""
        while True:
            # One at a time: what a handler that breaks off has not seen is not taken.
            while taken := await self._take(1):
                yield taken[0]
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._newer_came.wait()

    async def _take(self, most: int | None) -> list[Event]:
        self._check()
        if not self._attempt.steered:
            return []
        async with self._taking:
            self._newer_came.clear()
            found = (await patiently(self._newer))[:most]
            self._check()
            event_type = self._attempt.function.event_type
            events: list[Event] = [decode(event_type, text) for _, text in found]
            self._attempt.taken += [number for number, _ in found]
        return events

    async def _newer(self) -> list[tuple[int, str]]:
        claimed, taken = self._attempt.claimed, self._attempt.taken
        line = Line(
            claimed.tenant, claimed.lane or 0, claimed.fn, taken[-1] if taken else claimed.id
        )
        async with self._database.engine() as connection:
            return [(number, text) for _, number, text in await newer_than(connection, [line])]
