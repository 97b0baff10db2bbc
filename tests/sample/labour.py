"""Work for some seconds, one at a time in a process. Safe to run twice: it only waits."""

import asyncio
import os
from pathlib import Path

from runtime import Context, Event, Scale, function


class Labour(Event):
    """Ask for work."""

    seconds: float = 0.5
    until: str | None = None
    """A file; the work is done once it is there. None: after `seconds`."""


@function(concurrency=1, scale=Scale(maximum=3))
async def labour(event: Labour, ctx: Context) -> list[int]:
    """Return the process that did it, and how often one took it: 1, if none was interrupted."""
    await asyncio.sleep(event.seconds)
    while event.until and not Path(event.until).exists():
        await asyncio.sleep(0.05)
    return [os.getpid(), ctx.epoch]
