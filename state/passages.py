"""Passages: the pieces of a shop's documents."""

from collections.abc import Sequence
from typing import NamedTuple

from state.database import Connection


class Piece(NamedTuple):
    """A passage that was just read."""

    title: str
    """Headings above it, outermost first."""
    body: str


REPLACE = """
WITH read AS (
    SELECT * FROM unnest($3::text[], $4::text[]) WITH ORDINALITY u (title, body, place)
), gone AS (
    DELETE FROM passage WHERE tenant = $1 AND source_id = $2
        AND place > (SELECT coalesce(max(place), 0) FROM read)
)
INSERT INTO passage AS p (tenant, source_id, place, title, body)
SELECT $1, $2, r.place, r.title, r.body FROM read r
ON CONFLICT (tenant, source_id, place) DO UPDATE
SET title = excluded.title, body = excluded.body, space = NULL
WHERE (p.title, p.body) IS DISTINCT FROM (excluded.title, excluded.body)
"""


async def replace_passages(
    connection: Connection, tenant: int, source_id: int, pieces: Sequence[Piece]
) -> None:
    """Store what was read from a document, in place of what was read before.

    What did not change keeps its vector. Safe to run twice.
    """
    await connection.execute(
        REPLACE,
        tenant,
        source_id,
        [one.title for one in pieces],
        [one.body for one in pieces],
    )
