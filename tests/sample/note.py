"""Write lines to a file, in the order of a lane."""

import asyncio
from pathlib import Path

from runtime import Context, Event, function


class Note(Event):
    """Write a line."""

    file: str
    line: str
    book: str | None = None
    seconds: float = 0


@function(lane="book", service="agent")
async def note(event: Note, ctx: Context) -> None:
    """Append the line once the time is over."""
    await asyncio.sleep(event.seconds)
    with Path(event.file).open("a") as file:
        file.write(f"{event.line} {ctx.attempt}\n")
