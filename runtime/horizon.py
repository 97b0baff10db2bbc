"""From when on to look for due work: behind that, everything has been claimed.

Postgres' indexes keep what is done until the next VACUUM, and all of it is older than what waits.
With 400,000 events behind it, a worker that looked at all of them in each claim was less than half
as fast as at the start.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from runtime.function import Function
from state.work import EVER


class Horizon:
    """Of one process, for each of its functions."""

    def __init__(self, served: Mapping[int, Function[Any]]) -> None:
        """Begin with looking at everything.

        Lanes stand in line with the time of their next event, and those with a priority with an
        earlier one than now: such functions are always looked at from the beginning.
        """
        self._plain = frozenset(
            fn
            for fn, function in served.items()
            if function.policy.lane is None and function.policy.priority is None
        )
        self._since: dict[int, datetime] = {}
        self._forgotten = set(self._plain)

    def of(self, fn: int) -> datetime | None:
        """Return from when on to look. None: at everything, and nothing is to be learnt of it."""
        if fn not in self._plain:
            return None
        if fn in self._forgotten:
            self._forgotten.remove(fn)
            return EVER
        return self._since.get(fn, EVER)

    def learn(self, since: Mapping[int, datetime]) -> None:
        """Take in what a turn said, by number of the function."""
        self._since.update(since)

    def forget(self, fns: Iterable[int]) -> None:
        """Look at everything of these functions next time, whatever is learnt until then.

        To be done now and then: something may come to be due earlier than what has been claimed,
        given back by a worker that died, or stored by a transaction that took seconds.
        """
        self._forgotten |= self._plain.intersection(fns)
