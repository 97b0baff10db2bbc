"""Emit numbers at a pace. Safe to run twice: it only tells."""

import asyncio

from runtime import Context, Event, function


class Recite(Event):
    """Count to a number."""

    upto: int
    pause_seconds: float


@function(timeout=300, concurrency=1000)
async def recite(event: Recite, ctx: Context) -> int:
    """Emit each number with some words beside it, one each pause."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(1, event.upto + 1):
        await asyncio.sleep(began + number * event.pause_seconds - loop.time())
        await ctx.emit({"number": number, "text": "a few words of an answer"})
    return event.upto
