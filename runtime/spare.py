"""One place in twenty of a function is kept for shops that have none.

However fair the next claim is, a shop that finds every place taken waits until an attempt ends. The
places kept back are for it: who already has one finds them closed. A worker that serves one shop
alone keeps nothing back, and nor does one where no few shops could hold everything.
"""

import time
from collections.abc import Callable

PLACES_FOR_ONE_SPARE = 20
REMEMBERED_SECONDS = 600.0
"""For so long after another shop's attempt began, places are kept: a shopper may write again."""
HOLDERS_AT_MOST = 20
"""When more shops than that share the places, one of them is soon free without this."""


class Spare:
    """The places of one function in one process that only newcomers may take."""

    def __init__(self, places: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Create it.

        Args:
            places: attempts at once of the function here.
            clock: seconds.
        """
        self._kept = places // PLACES_FOR_ONE_SPARE
        self._clock = clock
        self._last: int | None = None
        self._mixed_at: float | None = None
        """When an attempt began that was of another shop than the one before it. None: never."""

    def came(self, tenant: int) -> None:
        """An attempt of a shop begins."""
        if tenant == self._last or not self._kept:
            return
        if self._last is not None:
            self._mixed_at = self._clock()
        self._last = tenant

    def places(self) -> int:
        """Return how many places are kept back now."""
        if self._mixed_at is None or self._clock() - self._mixed_at > REMEMBERED_SECONDS:
            return 0
        return self._kept
