"""When each cron function fires next."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from state.database import Connection


class Entry(NamedTuple):
    """One cron function's next time."""

    fn: int
    expression: str
    zone: str
    next_at: datetime


async def store_schedule(connection: Connection, entries: Sequence[Entry]) -> None:
    """Store when functions fire; a known time stays unless the expression or zone changed.

    Functions that are not in `entries` are left alone: another process may declare them.
    """
    await connection.executemany(
        """
        INSERT INTO schedule AS s (fn, expression, zone, next_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (fn) DO UPDATE SET expression = excluded.expression, zone = excluded.zone,
            next_at = excluded.next_at
        WHERE (s.expression, s.zone) <> (excluded.expression, excluded.zone)
        """,
        sorted(entries),
    )


async def due(connection: Connection, fns: Sequence[int]) -> list[Entry]:
    """Lock and return entries whose time has come, for the rest of the transaction."""
    rows = await connection.fetch(
        "SELECT fn, expression, zone, next_at FROM schedule"
        " WHERE fn = ANY ($1::int[]) AND next_at <= clock_timestamp() ORDER BY fn"
        " FOR UPDATE SKIP LOCKED",
        fns,
    )
    return [Entry(*row) for row in rows]


async def advance(connection: Connection, fn: int, next_at: datetime) -> None:
    """Set a function's next time."""
    await connection.execute("UPDATE schedule SET next_at = $2 WHERE fn = $1", fn, next_at)


async def seconds_to_next(connection: Connection, fns: Sequence[int]) -> float | None:
    """Return how long nothing is due; None: nothing is scheduled."""
    seconds = await connection.fetchval(
        "SELECT extract(epoch FROM min(next_at) - clock_timestamp())::float8 FROM schedule"
        " WHERE fn = ANY ($1::int[])",
        fns,
    )
    return None if seconds is None else max(0.0, float(seconds))


async def now(connection: Connection) -> datetime:
    """Return the time by Postgres' clock, the only one that decides."""
    moment: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return moment
