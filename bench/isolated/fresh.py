"""In a fresh process. Safe to run twice: it does nothing."""

from runtime import Context, Event, Process, function


class Fresh(Event):
    """Nothing is asked."""


@function(isolation=Process(attempts=1))
async def fresh(event: Fresh, ctx: Context) -> str:
    """Return at once."""
    return "done"
