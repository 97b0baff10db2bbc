"""Kill the process that runs it."""

import os

from runtime import Context, Event, function


class Poison(Event):
    """Die this many times."""

    tally: str
    times: int = 99


@function()
async def poison(event: Poison, ctx: Context) -> str:
    """End the process hard, until it was done often enough."""
    with open(event.tally, "a+") as tally:
        tally.seek(0)
        died = len(tally.read())
        if died < event.times:
            tally.write("x")
            tally.flush()
            os._exit(13)
    return f"survived after {died}"
