"""Store events: any number in one call and one commit (`state/routines/20_dispatch.sql`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from state.database import Connection, repeated, sparse

NEW, REPEATED, CONFLICT = b"n", b"r", b"k"


@dataclass(slots=True)
class Asked:
    """One event that is to be handled."""

    tenant: int
    fn: int
    event: str
    """JSON text."""
    lane: int | None = None
    reply_to: int | None = None
    delay_seconds: float = 0.0
    """Due this much after it is stored; below 0: a head start before those that are due."""
    at: datetime | None = None
    """Due then, and not before `delay_seconds`. None: that alone counts."""
    cap_seconds: float | None = None
    """Merge: the latest start, counted from the first event. None: events are not merged."""
    key: str | None = None
    fingerprint: str | None = None

    def due_in(self) -> float:
        """Return how many seconds from now it is due; 0 or less: at once."""
        if self.at is None:
            return self.delay_seconds
        return max(self.delay_seconds, (self.at - datetime.now(UTC)).total_seconds())


class Stored(NamedTuple):
    """What became of it."""

    id: int
    fate: bytes
    """NEW; REPEATED: the key is known, `id` is the earlier one; CONFLICT: it was other data."""


async def dispatch(
    connection: Connection, asked: Sequence[Asked], *, wake: bool = False
) -> list[Stored]:
    """Store events in one transaction, or in the caller's, and return one entry for each.

    Within a lane, the order of ids is the order of commits. Safe to run twice: only with a key.

    Args:
        connection: as the engine.
        asked: in order.
        wake: also ring through Postgres, for the lowest latency. Not in a caller's transaction:
            a NOTIFY serialises commits.

    Raises:
        DatabaseAway: the connection broke; what was asked may or may not be stored.
        RowRejected: a text that Postgres cannot hold.
    """
    keyed = any(one.key is not None for one in asked)
    arguments = (
        [one.tenant for one in asked],
        [one.fn for one in asked],
        sparse([one.lane for one in asked]),
        [one.event for one in asked],
        sparse([one.reply_to for one in asked]),
        sparse([one.due_in() or None for one in asked]),
        sparse([one.cap_seconds for one in asked]),
        sparse([one.key for one in asked]),
        sparse([one.fingerprint for one in asked]),
        wake,
    )
    rows = await repeated(
        lambda: connection.fetch(
            "SELECT id, fate FROM dispatch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)", *arguments
        )
    )
    stored = [Stored(row[0], row[1]) for row in rows]
    # Ids are taken in the order of the events; rows without keys come back in no promised order.
    return stored if keyed else sorted(stored)
