"""Whose turn it is: shops get equal parts of the time that a function's attempts take.

Start-time fair queueing (Goyal, Vin and Cheng, 1996), by each worker for itself and from memory
alone. What a shop's attempts cost moves it along a line of virtual time; who is furthest back is
next. A shop that had nothing to do comes in where the line is now: it saves nothing up.
"""

import heapq
import time
from collections.abc import Callable
from operator import itemgetter
from typing import NamedTuple

TOKENS_PER_SECOND = 1000
"""Tokens that weigh as much as a second."""
MEAN_WEIGHT = 0.2
"""Of the newest attempt, in the mean cost of a shop's attempts."""
ALIKE_TIMES, ALIKE_SECONDS = 2.0, 0.005
"""Costs that differ by less are alike: equal parts of starts are fair enough, and cheaper."""
BEHIND_AT_MOST = 100
FORGIVEN_SECONDS = 60.0
"""What a shop was ahead is forgotten when it had nothing to do for so long."""


class Begun(NamedTuple):
    """An attempt under way."""

    at: float
    """When it began, by the clock of the line."""
    expected: float
    """What it was expected to cost."""


class _Shop:
    """One shop's way along the line."""

    __slots__ = ("charged", "idle_since", "mean", "running", "settled", "starts")

    def __init__(self, settled: float) -> None:
        self.settled = settled
        """Where it would be if nothing ran."""
        self.running = 0
        self.starts = 0.0
        """Sum of the times at which those that run began."""
        self.charged = 0.0
        """What those that run are expected to cost."""
        self.mean: float | None = None
        """Cost of one attempt, lately; None: none has ended."""
        self.idle_since = 0.0

    def at(self, now: float) -> float:
        """Return where it is: an attempt that takes longer than expected moves it on meanwhile."""
        return self.settled + max(self.charged, self.running * now - self.starts)


class Fairness:
    """The line of one function in one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._line = 0.0
        """Where the shop stood that was served last: whoever comes begins here."""
        self._shops: dict[int, _Shop] = {}
        self._alone: int | None = None
        """The only shop there is; nothing is reckoned for it. None: none, or several."""
        self._mean = 0.0
        """Cost of one attempt of any shop."""

    def began(self, tenant: int) -> Begun | None:
        """An attempt of a shop begins; returns what `ended` has to be given. None: nothing has."""
        if tenant == self._alone:
            return None
        if self._alone is None and not self._shops:
            self._alone = tenant
            return None
        self._alone = None
        now = self._clock()
        shop = self._shops.get(tenant)
        if shop is None:
            shop = self._shops[tenant] = _Shop(self._line)
        at = shop.at(now)
        if at < self._line:
            shop.settled += self._line - at
        else:
            self._line = at
        expected = self._mean if shop.mean is None else shop.mean
        shop.running += 1
        shop.starts += now
        shop.charged += expected
        return Begun(now, expected)

    def ended(self, tenant: int, begun: Begun, tokens: int) -> None:
        """It has ended."""
        now = self._clock()
        cost = now - begun.at + tokens / TOKENS_PER_SECOND
        shop = self._shops[tenant]
        shop.running -= 1
        shop.starts -= begun.at
        shop.charged -= begun.expected
        if not shop.running:
            shop.starts = shop.charged = 0.0  # sums of floats do not come back to nothing
            shop.idle_since = now
        shop.settled += cost
        shop.mean = _moved(shop.mean, cost)
        self._mean = _moved(self._mean, cost)

    def behind(self, most: int) -> list[tuple[int, int]]:
        """Return the shops that have had more than others, and how many of `most` starts each gets.

        Those who had the least of it come first. Whoever is not among them is served before them.
        Empty: nobody had more than others, or what they run costs about the same.
        """
        if self._alone is not None or not self._shops:
            return []
        now = self._clock()
        self._forget(now)
        if len(self._shops) < 2:
            self._alone = next(iter(self._shops), None)
            return []
        costs = {tenant: self._cost(shop, now) for tenant, shop in self._shops.items()}
        if max(costs.values()) < ALIKE_TIMES * min(costs.values()) + ALIKE_SECONDS:
            return []
        places = ((shop.at(now), tenant) for tenant, shop in self._shops.items())
        found = heapq.nlargest(BEHIND_AT_MOST, (one for one in places if one[0] > self._line))
        found.reverse()
        shares = dict.fromkeys(map(itemgetter(1), found), 0)
        for _ in range(most if found else 0):
            at, tenant = found[0]
            shares[tenant] += 1
            heapq.heapreplace(found, (at + max(costs[tenant], 1e-6), tenant))
        return list(shares.items())

    def _cost(self, shop: _Shop, now: float) -> float:
        """Return what an attempt of a shop costs, as far as one can say by now."""
        if shop.mean is not None:
            return shop.mean
        running = (shop.running * now - shop.starts) / shop.running if shop.running else 0.0
        return max(self._mean, running)

    def _forget(self, now: float) -> None:
        gone = [
            tenant
            for tenant, shop in self._shops.items()
            if not shop.running
            and (shop.settled <= self._line or now - shop.idle_since > FORGIVEN_SECONDS)
        ]
        for tenant in gone:
            del self._shops[tenant]


def _moved(mean: float | None, cost: float) -> float:
    return cost if mean is None else mean + MEAN_WEIGHT * (cost - mean)
