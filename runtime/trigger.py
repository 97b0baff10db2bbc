"""What may start a function besides a dispatch."""

from dataclasses import dataclass
from datetime import datetime
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
        local = moment.astimezone(ZoneInfo(self.zone))
        found: datetime = croniter(self.expression, local).get_next(datetime)
        return found.astimezone(ZoneInfo("UTC"))


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
