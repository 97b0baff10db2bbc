"""Do nothing, in order. Safe to run twice: a repeated run leaves its times again."""

from bench.peers.record import note
from runtime import Context, Event, function


class InLane(Event):
    """Do nothing after what came before in this lane."""

    lane: str


@function(lane="lane")
async def in_lane(event: InLane, ctx: Context) -> None:
    """Note that it began."""
    note(0.0)
