"""Leave the times behind. Safe to run twice: a repeated run leaves them again."""

from bench.peers.record import note
from runtime import Context, Event, function


class Noop(Event):
    """Do nothing."""

    sent_at: float


@function()
async def noop(event: Noop, ctx: Context) -> None:
    """Note when it was sent, and that it began."""
    note(event.sent_at)
