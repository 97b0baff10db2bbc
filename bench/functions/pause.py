"""Wait for a while, with room for few at once. Safe to run twice: it only waits."""

import asyncio

from runtime import Context, Event, function


class Pause(Event):
    """Ask to wait."""

    seconds: float
    lane: str | None = None


@function(lane="lane", concurrency=20)
async def pause(event: Pause, ctx: Context) -> int:
    """Return how often a worker took it: 1, unless an attempt was interrupted or failed."""
    await asyncio.sleep(event.seconds)
    return ctx.epoch
