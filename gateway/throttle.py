"""Slow down who guesses: per address, and in all."""

import ipaddress
import time
from collections import OrderedDict, deque
from collections.abc import Callable

PER_ADDRESS = 5
IN_ALL = 30
WINDOW_SECONDS = 60.0
LONGEST_SECONDS = 900.0
ADDRESSES = 10_000


class Throttle:
    """Counts attempts. A right one is taken back with `forgive`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._all: deque[float] = deque()
        self._of: OrderedDict[str, tuple[int, float]] = OrderedDict()
        """Address -> attempts so far, blocked until."""

    def attempt(self, address: str) -> float:
        """Count an attempt; return 0, or after how many seconds the next one is looked at.

        The fifth from one address is followed by a minute's rest, each further one by twice as
        long, up to 15 minutes. A refused attempt is not looked at, and costs nothing more.
        """
        now, name = self._clock(), _network(address)
        while self._all and self._all[0] <= now - WINDOW_SECONDS:
            self._all.popleft()
        if len(self._all) >= IN_ALL:
            return self._all[0] + WINDOW_SECONDS - now
        count, until = self._of.pop(name, (0, 0.0))
        if now < until:
            self._of[name] = (count, until)
            return until - now
        if count and now - until > LONGEST_SECONDS:
            count = 0  # quiet for long: forgotten
        count += 1
        rest = WINDOW_SECONDS * 2 ** min(count - PER_ADDRESS, 10) if count >= PER_ADDRESS else 0.0
        self._of[name] = (count, now + min(rest, LONGEST_SECONDS))
        self._all.append(now)
        if len(self._of) > ADDRESSES:
            self._of.popitem(last=False)
        return 0.0

    def forgive(self, address: str) -> None:
        """Take back the attempts of an address: it knew the secret."""
        self._of.pop(_network(address), None)
        if self._all:
            self._all.pop()


def _network(address: str) -> str:
    """Return what one guesser has: an IPv4 address, or a /64 of IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
