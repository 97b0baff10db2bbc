"""End attempts whose time is over, with one timer for all of them.

A timer each would cost a no-op more than its task or anything else that the runtime does for it.
"""

import asyncio
import math
from typing import Protocol


class Limited(Protocol):
    """Something that may take only so long."""

    def expire(self) -> None:
        """End it because its time is over."""


class TimeLimits:
    """The time limits of one event loop."""

    def __init__(self) -> None:
        self._deadlines: dict[Limited, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due = math.inf
        """When the timer looks next; never later than the earliest deadline."""

    def watch(self, one: Limited, deadline: float) -> None:
        """Have it end at `deadline`, by the loop's clock, unless it is forgotten before."""
        self._deadlines[one] = deadline
        if deadline < self._due:
            self._look_at(deadline)

    def forget(self, one: Limited) -> None:
        """Stop watching: it has ended. What is not watched may be forgotten too."""
        self._deadlines.pop(one, None)

    def _look_at(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = asyncio.get_running_loop().call_at(due, self._look)

    def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        self._timer, self._due = None, math.inf
        for one in [one for one, deadline in self._deadlines.items() if deadline <= now]:
            del self._deadlines[one]
            one.expire()
        if self._deadlines:
            self._look_at(min(self._deadlines.values()))
