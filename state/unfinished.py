"""What waits or runs now, in the order of its coming: read in small parts, and only read."""

from typing import NamedTuple

from state.database import Connection


class Unfinished(NamedTuple):
    """An invocation that has not ended."""

    id: int
    function: str
    """The name under which it was stored: perhaps a former one."""
    event: str
    """JSON."""


async def count_unfinished(connection: Connection) -> tuple[int, int]:
    """Return how many there are, and the id of the newest; 0: there is none."""
    row = await connection.fetchrow("SELECT count(*), coalesce(max(id), 0) FROM work")
    assert row is not None  # noqa: S101 - one row of scalars
    return row[0], row[1]


async def unfinished(
    connection: Connection, after: int, newest: int, limit: int
) -> list[Unfinished]:
    """Return those behind the id `after`, oldest first.

    Args:
        connection: of the engine.
        after: an id; 0: from the beginning.
        newest: none that came later than this one.
        limit: at most so many. Each event may have a megabyte.
    """
    rows = await connection.fetch(
        "SELECT w.id, f.name, i.event FROM work w JOIN invocation i ON i.id = w.id"
        " JOIN function f ON f.fn = w.fn WHERE w.id > $1 AND w.id <= $2 ORDER BY w.id LIMIT $3",
        after,
        newest,
        limit,
    )
    return [Unfinished(*row) for row in rows]
