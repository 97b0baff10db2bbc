"""Whether claimed work may start."""

from collections.abc import Sequence

from state.database import Connection


async def too_late(connection: Connection, ids: Sequence[int]) -> set[int]:
    """Return those of these invocations whose time to start has passed, by Postgres' clock."""
    rows = await connection.fetch(
        "SELECT id FROM work WHERE id = ANY ($1::bigint[]) AND late_at < clock_timestamp()", ids
    )
    return {row["id"] for row in rows}
