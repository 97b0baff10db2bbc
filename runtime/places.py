"""Who has the places of a process: each function may run so many attempts at once.

An attempt in a lane keeps its place until its end is stored, since the next in line takes it over.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from runtime.function import Function
from runtime.spare import HOLDERS_AT_MOST, Spare


class Places:
    """Counts places by function and shop, and those that turns on their way ask for."""

    def __init__(self, served: Mapping[int, Function[Any]], concurrency: int | None) -> None:
        """Create it with all places free.

        Args:
            served: functions by number.
            concurrency: places in all; None: as each function declares.
        """
        self._most = concurrency
        self._room = {fn: function.policy.at_once for fn, function in served.items()}
        if concurrency is not None:
            self._room = {fn: min(room, concurrency) for fn, room in self._room.items()}
        self._held = dict.fromkeys(served, 0)
        self._asked = dict.fromkeys(served, 0)
        self._shops: dict[int, Counter[int]] = {fn: Counter() for fn in served}
        self._spare = {fn: Spare(room) for fn, room in self._room.items()}

    def begin(self, fn: int, tenant: int) -> None:
        """An attempt of a shop begins in a place."""
        self._spare[fn].came(tenant)
        self.hold(fn, tenant)

    def hold(self, fn: int, tenant: int) -> None:
        """A place of a shop is taken, or still is."""
        self._held[fn] += 1
        self._shops[fn][tenant] += 1

    def leave(self, fn: int, tenant: int) -> None:
        """Its place is free."""
        self._held[fn] -= 1
        shops = self._shops[fn]
        shops[tenant] -= 1
        if not shops[tenant]:
            del shops[tenant]

    def ask(self, fn: int, count: int) -> None:
        """So many are asked for: they are not free until the turn says how many it needed."""
        self._asked[fn] += count

    def answered(self, fn: int, count: int) -> None:
        """The turn is back."""
        self._asked[fn] -= count

    def holders(self, fn: int) -> Collection[int]:
        """Return the shops that have places of a function."""
        return self._shops[fn]

    def open(self, fn: int) -> int:
        """Return how many more attempts may begin whosever they are; 0 or less: none."""
        free, kept = self._free(fn), self._spare[fn].places()
        return free if len(self._shops[fn]) > HOLDERS_AT_MOST else free - kept

    def spare(self, fn: int) -> int:
        """Return how many places are free for newcomers alone; 0 or less: none."""
        # Who gets what is on its way is not known yet: it could be one and the same shop.
        return 0 if self._asked[fn] else self._free(fn)

    def _free(self, fn: int) -> int:
        free = self._room[fn] - self._held[fn] - self._asked[fn]
        if self._most is None:
            return free
        return min(free, self._most - sum(self._held.values()) - sum(self._asked.values()))
