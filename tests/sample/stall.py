"""Block the event loop, the first time."""

import time
from pathlib import Path

from runtime import Context, Event, function


class Stall(Event):
    """Block the loop unless that has been done."""

    tally: str


@function()
async def stall(event: Stall, ctx: Context) -> None:
    """Block, once."""
    tally = Path(event.tally)
    if not tally.exists():
        tally.write_text("x")
        time.sleep(3600)  # noqa: ASYNC251
