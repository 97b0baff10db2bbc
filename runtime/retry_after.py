"""What a server says about when to ask again (RFC 9110, section 10.2.3; OpenAI's milliseconds)."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after_seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return how long to wait; None: it says nothing that can be read.

    Args:
        headers: of the answer; names in small letters, or a mapping that does not mind.
        now: with its zone.

    >>> now = datetime(2026, 11, 8, 8, 49, 37, tzinfo=UTC)
    >>> retry_after_seconds({"retry-after": "1.5"}, now)
    1.5
    >>> retry_after_seconds({"retry-after": "Sun, 08 Nov 2026 08:50:07 GMT"}, now)
    30.0
    >>> retry_after_seconds({"retry-after-ms": "250", "retry-after": "1"}, now)
    0.25
    >>> retry_after_seconds({"retry-after": "soon"}, now)
    """
    millis = _number(headers.get("retry-after-ms"))
    if millis is not None:
        return millis / 1000
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is not None or text is None:
        return seconds
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    if at.tzinfo is None:  # "-0000": a time whose zone nobody knows
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())


def _number(text: str | None) -> float | None:
    try:
        found = float(text or "")
    except ValueError:
        return None
    return found if math.isfinite(found) and found >= 0 else None
