"""Wait, as for a slow model. Safe to run twice: it waits again."""

import asyncio

from bench.peers.record import note, now
from bench.peers.shape import WAIT_SECONDS
from runtime import Context, Event, function


class Wait(Event):
    """Wait a second."""


@function(concurrency=10_000)
async def wait(event: Wait, ctx: Context) -> None:
    """Note when it began and ended."""
    began = now()
    await asyncio.sleep(WAIT_SECONDS)
    note(began)
