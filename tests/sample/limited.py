"""Work with limits, which notes when it began and ended. Safe to run twice: it notes both."""

import asyncio

from runtime import Concurrency, Context, Event, Rate, Retry, function

RATE = Rate(8, per_seconds=1, key="key", burst=3)
PERMITS = Concurrency(key="key", per_key=1, fleet=2)
QUICK = Retry(attempts=20, steps_seconds=(0.01,))


class Metered(Event):
    """Begin at a pace."""

    key: str = "a"
    number: int = 0
    line: str | None = None
    fail_first: bool = False


class Guarded(Event):
    """Take a place for some seconds."""

    key: str = "a"
    number: int = 0
    line: str | None = None
    seconds: float = 0.02
    fail_first: bool = False


async def note(ctx: Context, what: str, key: str) -> None:
    """Note it, with the time of the database."""
    async with ctx.recording() as connection:
        await connection.execute(
            "INSERT INTO mark (id, epoch, what, key) VALUES ($1, $2, $3, $4)",
            *(ctx.number, ctx.epoch, what, key),
        )


@function(rate=RATE, retry=QUICK, lane="line")
async def metered(event: Metered, ctx: Context) -> None:
    """Note the beginning."""
    await note(ctx, "begin", event.key)
    if event.fail_first and ctx.attempt == 1:
        raise ValueError("again")


@function(concurrency=PERMITS, retry=QUICK, lane="line")
async def guarded(event: Guarded, ctx: Context) -> None:
    """Note the beginning and the end."""
    try:
        await note(ctx, "begin", event.key)
        await asyncio.sleep(event.seconds)
        if event.fail_first and ctx.attempt == 1:
            raise ValueError("again")
    finally:
        await note(ctx, "end", event.key)
