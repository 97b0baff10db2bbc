"""Append to the effects table, under the fence.

Safe to run twice: a repeated attempt appends again under a later epoch, which the bench tells
from a stale commit.
"""

import asyncio
from typing import Any

from runtime import Context, Event, function

INSERT = (
    "INSERT INTO effect (number, lane, place, invocation, epoch, worker)"
    " VALUES ($1, $2, $3, $4, $5, $6)"
)


class Append(Event):
    """One effect."""

    number: int
    lane: str | None = None
    place: int
    seconds: float = 0


@function(lane="lane", timeout=30)
async def append(event: Append, ctx: Context) -> int:
    """Wait, then commit one row while the invocation is still ours."""
    await asyncio.sleep(event.seconds)
    platform: Any = ctx.platform  # the bench looks behind the curtain: which claim is this?
    claimed, worker = platform._attempt.claimed, platform._services.worker
    async with ctx.transaction() as transaction:
        await transaction.connection.execute(
            INSERT, event.number, event.lane, event.place, claimed.id, claimed.epoch, worker
        )
    return event.number
