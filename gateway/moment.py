"""When an invocation may start, as a caller writes it: `Nexus-Delay` or `Nexus-At`."""

import re
from datetime import datetime
from typing import NamedTuple

from starlette.datastructures import Headers

from gateway.problems import Problem
from runtime.numbered import DELAY_AT_MOST_SECONDS

SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")


class Moment(NamedTuple):
    """Not before this; a delay of 0 and no time: now."""

    delay_seconds: float = 0.0
    at: datetime | None = None

    @property
    def later(self) -> bool:
        """Whether it is not simply now."""
        return self.delay_seconds > 0 or self.at is not None


def moment_of(headers: Headers) -> Moment:
    """Read the two headers; a time that has passed is now.

    >>> moment_of(Headers({"Nexus-Delay": "30"})).delay_seconds
    30.0
    >>> moment_of(Headers({"Nexus-At": "2026-11-28T20:00:00-03:00"})).at.utcoffset().days
    -1

    Raises:
        Problem: 400, one of them is malformed, or both are there.
    """
    delays, times = headers.getlist("nexus-delay"), headers.getlist("nexus-at")
    if len(delays) + len(times) > 1:
        raise Problem(
            400,
            "two-times",
            "there is more than one of Nexus-Delay and Nexus-At",
            remedy="Send Nexus-Delay in seconds or Nexus-At with a time, once.",
        )
    if times:
        return Moment(at=_time(times[0]))
    return Moment(_seconds(delays[0])) if delays else Moment()


def _seconds(text: str) -> float:
    seconds = float(text) if SECONDS.fullmatch(text.strip()) else -1.0
    if not 0 <= seconds <= DELAY_AT_MOST_SECONDS:
        raise Problem(
            400,
            "invalid-delay",
            f"Nexus-Delay is a number of seconds from 0 to {DELAY_AT_MOST_SECONDS} (ten years)",
            remedy="For half a minute send Nexus-Delay: 30.",
        )
    return seconds


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        at = None
    if at is None or at.utcoffset() is None:
        raise Problem(
            400,
            "invalid-time",
            "Nexus-At is a time with its zone, as RFC 3339 writes it",
            remedy="Send for instance Nexus-At: 2026-11-28T20:00:00-03:00, or one that ends in Z.",
        )
    return at
