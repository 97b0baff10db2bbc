"""As a task. Safe to run twice: it does nothing."""

from runtime import Context, Event, function


class Plain(Event):
    """Nothing is asked."""


@function(isolation="task")
async def plain(event: Plain, ctx: Context) -> str:
    """Return at once."""
    return "done"
