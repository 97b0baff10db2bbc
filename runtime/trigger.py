"""What may start a function besides a dispatch."""

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import croniter

from runtime.errors import DeclarationError


@dataclass(frozen=True)
class Cron:
    """Start at fixed times, written as cron does, in a time zone.

    A time that was missed while nothing ran is made up for once. Around a change of the clock
    the local wall time counts: a time that does not exist that day runs right after the gap,
    one that exists twice runs once.
    """

    expression: str
    zone: str = "UTC"

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
