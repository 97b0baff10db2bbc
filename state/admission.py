"""Whether claimed work may start."""

from collections.abc import Sequence

from state.database import Connection

LATE = "not started: {} s after it was due had passed"
"""How what was dropped unstarted says so; the braces hold its deadline in seconds."""


async def too_late(connection: Connection, ids: Sequence[int]) -> set[int]:
    """Return those of these invocations whose time to start has passed, by Postgres' clock."""
    rows = await connection.fetch(
        "SELECT id FROM work WHERE id = ANY ($1::bigint[]) AND late_at < clock_timestamp()", ids
    )
    return {row["id"] for row in rows}


async def late_drops(connection: Connection) -> list[tuple[str, int]]:
    """Return functions with the number of invocations that came too late in the last 24 hours."""
    rows = await connection.fetch(
        "SELECT f.name, count(*) FROM outcome o JOIN invocation i ON i.id = o.id"
        " JOIN function f ON f.fn = i.fn"
        " WHERE o.state = 'c' AND o.done_at > clock_timestamp() - interval '1 day'"
        " AND o.result LIKE $1 GROUP BY 1 ORDER BY 1",
        LATE.format("%"),
    )
    return [(row[0], row[1]) for row in rows]
