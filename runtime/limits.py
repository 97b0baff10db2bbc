"""How often, and how many at once: limits of a function that hold over all its workers."""

import math
from dataclasses import dataclass
from typing import Literal

from runtime.declared import check_numbers
from runtime.errors import DeclarationError

MAXIMUM_WINDOW_SECONDS = 86_400
GRACE_SHARE = 0.05
GRACE_AT_MOST_SECONDS = 1.0


@dataclass(frozen=True)
class Rate:
    """In any `per_seconds`, at most `limit` attempts start, whatever happens.

    They start evenly; `burst` of them may start at once, and the pace afterwards is slower for it.
    A twentieth of the window (a second at most) is kept for workers that are late, so 80 in one
    second are about 76.

    >>> Rate(80, per_seconds=1).pace_seconds
    0.013125
    >>> Rate(80, per_seconds=1, burst=20).pace_seconds > 0.017
    True
    """

    limit: int
    per_seconds: float
    key: str | None = None
    """Field of the event: each value has a line of its own. None in that field: not limited."""
    burst: int = 1
    scope: Literal["shop", "installation"] = "shop"
    """Whether each shop has lines of its own, or all shops share them."""

    def __post_init__(self) -> None:
        """Refuse what would never start, or never be held back."""
        check_numbers(self)
        if self.limit < 1:
            raise DeclarationError(f"Rate(limit={self.limit}): at least 1")
        if not 0 < self.per_seconds <= MAXIMUM_WINDOW_SECONDS:
            raise DeclarationError(
                f"Rate(per_seconds={self.per_seconds:g}): above 0 and up to"
                f" {MAXIMUM_WINDOW_SECONDS} (a day)"
            )
        if not 1 <= self.burst <= self.limit:
            raise DeclarationError(
                f"Rate(burst={self.burst}): 1 to the limit, which is {self.limit};"
                " a burst counts like all others"
            )
        if self.scope not in ("shop", "installation"):
            raise DeclarationError(f'Rate(scope={self.scope!r}): "shop" or "installation"')

    @property
    def grace_seconds(self) -> float:
        """How late a start may be without moving the line back."""
        return min(self.per_seconds * GRACE_SHARE, GRACE_AT_MOST_SECONDS)

    @property
    def pace_seconds(self) -> float:
        """Between two starts.

        A window then holds the burst at its beginning, one after each pace and those that were
        late: no more than the limit in all.
        """
        seconds = (self.per_seconds + self.grace_seconds) / (self.limit - self.burst + 1)
        return math.ceil(seconds * 1e6 - 1e-3) / 1e6  # what Postgres counts in; never below

    @property
    def credit_seconds(self) -> float:
        """How much earlier than evenly an attempt may start."""
        return (self.burst - 1) * self.pace_seconds


@dataclass(frozen=True)
class Concurrency:
    """How many attempts at once: in one process, for each key, and in all processes together."""

    process: int = 200
    """In one worker process."""
    key: str | None = None
    """Field of the event: of each of its values (in each shop), at most `per_key` at once. None in
    that field: not limited."""
    per_key: int = 1
    fleet: int | None = None
    """In all worker processes, for all shops. None: no limit."""

    def __post_init__(self) -> None:
        """Refuse what limits nothing, or lets nothing in."""
        check_numbers(self)
        for name in ("process", "per_key", "fleet"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise DeclarationError(f"Concurrency({name}={value}): at least 1")
        if self.key is None and self.per_key != 1:
            raise DeclarationError(
                f'Concurrency(per_key={self.per_key}) needs key="…", the field of the event'
            )
        if self.key is None and self.fleet is None:
            raise DeclarationError(
                "Concurrency without key and fleet: did you mean"
                f" concurrency={self.process}, which limits each process alone?"
            )
        if self.key is not None and self.fleet is not None and self.per_key > self.fleet:
            raise DeclarationError(
                f"Concurrency(per_key={self.per_key}, fleet={self.fleet}): no key can ever have"
                f" more than {self.fleet}"
            )
