"""Greet someone. The smallest function there is.

Safe to run twice: it only computes a text.
"""

from runtime import Context, Event, function


class Hello(Event):
    """Ask for a greeting."""

    name: str = "world"


@function()
async def hello(event: Hello, ctx: Context) -> str:
    """Return a greeting."""
    return f"Hello, {event.name}!"
