"""Count aloud. Safe to run twice: it only tells."""

import asyncio
from pathlib import Path

from runtime import Context, Event, Retry, function


class Count(Event):
    """Count to a number."""

    upto: int
    pause_seconds: float = 0.0
    fail_first: bool = False
    fail_when: str | None = None
    """A file for which a first attempt waits before it fails; None: it fails at once."""


@function(retry=Retry(attempts=2, steps_seconds=(0.01,)))
async def count(event: Count, ctx: Context) -> str:
    """Emit each number; the first attempt may fail after its last one."""
    for number in range(1, event.upto + 1):
        await ctx.emit({"attempt": ctx.attempt, "number": number})
        await asyncio.sleep(event.pause_seconds)
    if event.fail_first and ctx.attempt == 1:
        while event.fail_when and not Path(event.fail_when).exists():
            await asyncio.sleep(0.01)
        raise ValueError("lost count")
    return f"counted to {event.upto}"
