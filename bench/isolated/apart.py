"""In a warm process. Safe to run twice: it does nothing."""

from runtime import Context, Event, function


class Apart(Event):
    """Nothing is asked."""


@function(isolation="process")
async def apart(event: Apart, ctx: Context) -> str:
    """Return at once."""
    return "done"
