"""Deliveries: what providers posted, byte for byte (`state/routines/70_deliver.sql`)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from state.database import Connection, repeated


@dataclass(frozen=True, slots=True)
class Posted:
    """Something a provider posted, checked to be from there."""

    app: str
    sender: str | None
    fn: int
    lane: int | None
    body: bytes = field(repr=False)


class Stored(NamedTuple):
    """A delivery as it was stored; `repr` does not show the body."""

    delivery_id: int
    app: str
    body: bytes
    received_at: datetime

    def __repr__(self) -> str:
        """Show the number alone."""
        return f"<delivery {self.delivery_id}>"


async def take_deliveries(
    connection: Connection, posted: Sequence[Posted], *, wake: bool
) -> list[int]:
    """Store deliveries with the invocations that read them, in one commit; ids in order.

    Not safe to run twice by itself: a body that comes twice is two deliveries, and what is in it
    is recognised when it is read.

    Args:
        connection: as the engine, of this process alone.
        posted: in order.
        wake: also ring through Postgres.

    Raises:
        DatabaseAway: they may or may not be stored; the provider will post them again.
    """
    arguments = (
        [one.app for one in posted],
        [one.sender for one in posted],
        [one.body for one in posted],
        [one.fn for one in posted],
        [one.lane for one in posted],
        wake,
    )
    return list(
        await repeated(
            lambda: connection.fetchval(
                "SELECT take_deliveries($1, $2, $3, $4, $5, $6)", *arguments
            )
        )
    )


async def delivery(connection: Connection, delivery_id: int) -> Stored | None:
    """Return one delivery; None: it is older than 30 days. Bound to the installation."""
    row = await connection.fetchrow(
        "SELECT delivery_id, app, body, received_at FROM delivery WHERE delivery_id = $1",
        delivery_id,
    )
    return Stored(*row) if row else None
