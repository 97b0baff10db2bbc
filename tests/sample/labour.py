"""Work for some seconds, one at a time in a process. Safe to run twice: it only waits."""

import asyncio
import os

from runtime import Context, Event, Scale, function


class Labour(Event):
    """Ask for work."""

    seconds: float = 0.5


@function(concurrency=1, scale=Scale(maximum=3))
async def labour(event: Labour, ctx: Context) -> list[int]:
    """Return the process that did it, and which attempt it was."""
    await asyncio.sleep(event.seconds)
    return [os.getpid(), ctx.attempt]
