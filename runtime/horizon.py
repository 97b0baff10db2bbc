"""From when on to look for due work: behind that, everything has been claimed.

Postgres' indexes keep what is done until the next VACUUM, and all of it is older than what waits.
With 400,000 events behind it, a worker that looked at all of them in each claim was four times
slower than at the start.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from runtime.function import Function
from state.work import EVER

ALL_SECONDS = 0.9
"""Everything is looked at so often, in case something came to be due earlier than what had been
claimed: given back by a worker that died, or stored by a transaction that took seconds."""


class Horizon:
    """Of one process, for each of its functions."""

    def __init__(
        self,
        served: Mapping[int, Function[Any]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with looking at everything.

        Lanes stand in line with the time of their next event, and those with a priority with an
        earlier one than now: such functions are always looked at from the beginning.
        """
        self._clock = clock
        self._since: dict[int, datetime] = {}
        self._all_at: dict[int, float] = {
            fn: -ALL_SECONDS
            for fn, function in served.items()
            if function.policy.lane is None and function.policy.priority is None
        }

    def of(self, fn: int) -> datetime | None:
        """Return from when on to look. None: at everything, and nothing is to be learnt of it."""
        if fn not in self._all_at:
            return None
        now = self._clock()
        if now - self._all_at[fn] >= ALL_SECONDS:
            self._all_at[fn] = now
            return EVER
        return self._since.get(fn, EVER)

    def learn(self, since: Mapping[int, datetime]) -> None:
        """Take in what a turn said, by number of the function."""
        self._since.update(since)

    def forget(self, fns: Iterable[int]) -> None:
        """Look at everything of these functions next time."""
        for fn in self._all_at.keys() & set(fns):
            self._all_at[fn] = self._clock() - ALL_SECONDS
