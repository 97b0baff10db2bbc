"""Invocations that others called and wait for (`routines/47_child.sql`)."""

from collections.abc import Sequence
from typing import NamedTuple

from state.database import Connection, repeated
from state.dispatch import Asked, Stored
from state.work import Claimed

FENCED = b"f"
"""The parent is not ours any more, or somebody is cancelling it."""


class Call(NamedTuple):
    """A child that a running attempt calls."""

    parent: Claimed
    name: str
    """Of this call within the parent."""
    asked: Asked
    """Without a key, with a fingerprint."""


async def call_children(
    connection: Connection, worker: int, calls: Sequence[Call], *, wake: bool
) -> list[Stored]:
    """Store children, each once for its parent and name; one entry for each, in order.

    Safe to run twice: a child that is there is returned (REPEATED), or CONFLICT: it was called with
    another event; or FENCED.

    Raises:
        WorkerEnded: we were declared dead.
        DatabaseAway: they may or may not be stored; call again.
    """
    asked = [one.asked for one in calls]
    rows = await repeated(
        lambda: connection.fetch(
            "SELECT id, fate FROM call_children"
            "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
            worker,
            [one.parent.id for one in calls],
            [one.parent.epoch for one in calls],
            [one.parent.tenant for one in calls],
            [one.parent.lane for one in calls],
            [one.name for one in calls],
            [one.fingerprint for one in asked],
            [one.fn for one in asked],
            [one.lane for one in asked],
            [one.event for one in asked],
            [one.reply_to for one in asked],
            [one.delay_seconds for one in asked],
            [one.cap_seconds for one in asked],
            wake,
        )
    )
    return [Stored(row[0] or 0, row[1]) for row in rows]
