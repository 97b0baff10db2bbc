"""What may start a function besides a dispatch."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import croniter

from runtime.errors import DeclarationError

LATE_SECONDS = 60
"""What is later than this has been missed."""


@dataclass(frozen=True)
class Cron:
    """Start at fixed times, written as cron does, in a time zone.

    Around a change of the clock the local wall time counts: a time that does not exist that day
    runs right after the gap, one that exists twice runs once.
    """

    expression: str
    zone: str = "UTC"
    missed: Literal["once", "skip"] = "once"
    """Times at which nothing ran: made up for by one run, however many they were; or left out, if
    more than a minute has passed since."""

    def __post_init__(self) -> None:
        """Refuse what can never fire."""
        if len(self.expression.split()) != 5 or not croniter.is_valid(self.expression):
            raise DeclarationError(
                f"Cron({self.expression!r}) is not a cron expression of five fields"
                " (minute hour day month weekday), for instance '*/15 * * * *'"
            )
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise DeclarationError(
                f"Cron(zone={self.zone!r}) is not a time zone; for instance"
                " 'America/Argentina/Buenos_Aires'"
            ) from None
        if self.missed not in ("once", "skip"):
            raise DeclarationError(f'Cron(missed={self.missed!r}): "once" or "skip"')

    def due(self, planned: datetime, now: datetime) -> datetime | None:
        """Return the time that runs now, of those from `planned` to `now`; None: all are missed."""
        if self.missed == "once":
            return planned
        recent = self.next_after(now - timedelta(seconds=LATE_SECONDS))
        return recent if recent <= now else None

    def next_after(self, moment: datetime) -> datetime:
        """Return the first time after `moment` (aware), in UTC."""
        zone = ZoneInfo(self.zone)
        times = croniter(self.expression, moment.astimezone(zone))
        each_hour = self.expression.split()[1].startswith("*")
        while True:
            found: datetime = times.get_next(datetime).astimezone(UTC)
            # The second time that the same hour is on the wall: only for what runs each hour.
            if each_hour or not found.astimezone(zone).fold:
                return found


@dataclass(frozen=True)
class Webhook:
    """Start by a provider's POST to `/webhooks/{path}`.

    `signature` names a scheme of `runtime/signatures.py`; the gateway checks it over the raw
    bytes before anything else happens.
    """

    path: str
    signature: str

    def __post_init__(self) -> None:
        """Refuse a path that the gateway could not route."""
        if not self.path.strip("/") or self.path != self.path.strip("/"):
            raise DeclarationError(f"Webhook({self.path!r}): a path without slashes at its ends")


Trigger = Cron | Webhook
