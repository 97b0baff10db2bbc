"""Greet, slowly if asked to."""

import asyncio

from runtime import Context, Event, function


class Greet(Event):
    """Ask for a greeting."""

    name: str = "world"
    seconds: float = 0


@function()
async def greet(event: Greet, ctx: Context) -> str:
    """Return a greeting, and the attempt it took."""
    await asyncio.sleep(event.seconds)
    return f"Hello, {event.name}! ({ctx.attempt})"
