"""The `Prefer` header of RFC 7240: what a caller would rather have."""

import re
from collections.abc import Iterable
from typing import NamedTuple

WAIT_SECONDS = 60.0
WAIT_AT_MOST_SECONDS = 300.0

WAIT = re.compile(r"wait\s*=\s*\"?(\d{1,6})\"?", re.IGNORECASE)


class Preference(NamedTuple):
    """How long a caller wants to wait, and what it wants when that is over."""

    respond_async: bool
    wait_seconds: float
    applied: str
    """For `Preference-Applied`; empty: nothing was asked for."""


def preference(headers: Iterable[str]) -> Preference:
    """Read the values of all `Prefer` headers; what is not understood is ignored, as the RFC says.

    >>> preference([])
    Preference(respond_async=False, wait_seconds=60.0, applied='')
    >>> preference(["respond-async"])
    Preference(respond_async=True, wait_seconds=0.0, applied='respond-async')
    >>> preference(["respond-async, wait=10"])
    Preference(respond_async=True, wait_seconds=10.0, applied='respond-async, wait=10')
    >>> preference(["wait=9999"])
    Preference(respond_async=False, wait_seconds=300.0, applied='wait=300')
    """
    respond_async, wait = False, None
    for item in ",".join(headers).split(","):
        token = item.partition(";")[0].strip()
        if token.lower() == "respond-async":
            respond_async = True
        elif wait is None and (found := WAIT.fullmatch(token)):
            wait = min(float(found[1]), WAIT_AT_MOST_SECONDS)
    applied = ["respond-async"] if respond_async else []
    if wait is not None:
        applied.append(f"wait={wait:.0f}")
    default = 0.0 if respond_async else WAIT_SECONDS
    return Preference(respond_async, default if wait is None else wait, ", ".join(applied))
