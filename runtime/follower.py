"""Somebody who follows an invocation: what came, and up to which place."""

import asyncio
import re
from dataclasses import dataclass
from typing import TypeAlias

from runtime.replies import STATES
from state.chunks import Row

CHUNKS_AT_ONCE = 100
"""Of one stream in one read; nothing more is read before its follower has taken these."""

CURSOR = re.compile(r"(\d{1,18})\.(\d{1,9})")


@dataclass(frozen=True)
class Emitted:
    """A chunk."""

    cursor: str
    """Follow from here to get what came after."""
    data: str
    """JSON."""


@dataclass(frozen=True)
class Restarted:
    """Another attempt has begun to emit: what came before does not count any more."""

    cursor: str


@dataclass(frozen=True)
class Ended:
    """The invocation has ended; nothing comes after this."""

    cursor: str
    state: str
    """done, dead or cancelled."""
    result: str | None
    """JSON of a done one."""
    error: str | None
    """The reason of the others."""


Told: TypeAlias = Emitted | Restarted | Ended


def parse_cursor(text: str) -> tuple[int, int]:
    """Return epoch and place.

    Raises:
        ValueError: it is no cursor.
    """
    found = CURSOR.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is no place in a stream")
    return int(found[1]), int(found[2])


class Follower:
    """Somebody who follows one invocation."""

    def __init__(self, invocation: int, epoch: int, place: int, wake: asyncio.Event) -> None:
        """Begin behind a place; `wake` is set when more should be read for it."""
        self.invocation, self.epoch, self.place = invocation, epoch, place
        self.due = True
        """Whether there may be more than was read."""
        self.told: list[Told] = []
        self.news = asyncio.Event()
        """Set when there is something to take, or when somebody wants the follower to look up."""
        self._wake = wake

    def take(self) -> list[Told]:
        """Return what came since the last time, in order; may be empty."""
        told, self.told = self.told, []
        self.news.clear()
        if told and self.due:
            self._wake.set()
        return told

    def give(self, rows: list[Row]) -> None:
        """Take in what was read."""
        count = 0
        for row in rows:
            if row.state is None:
                self._step(row.epoch)
                self.place = row.place or 0
                self.told.append(Emitted(f"{self.epoch}.{self.place}", row.data or "null"))
                count += 1
            elif count < CHUNKS_AT_ONCE:  # else there may be more before the end
                good = row.state == b"d"
                if good and row.epoch > self.epoch:  # by an attempt that emitted nothing
                    self._step(row.epoch)
                end = Ended(
                    f"{self.epoch}.{self.place}",
                    STATES[row.state],
                    row.data if good else None,
                    None if good else row.data,
                )
                self.told.append(end)
        self.due |= count == CHUNKS_AT_ONCE
        if self.told:
            self.news.set()

    def _step(self, epoch: int) -> None:
        """Go on to the attempt of this epoch."""
        if epoch != self.epoch:
            if self.place:
                self.told.append(Restarted(f"{epoch}.0"))
            self.epoch, self.place = epoch, 0
