"""Rows that have no vector in the current space yet."""

from collections.abc import Sequence
from typing import NamedTuple

from state.database import Connection
from state.vectors import PASSAGES, PRODUCTS


class Row(NamedTuple):
    """A row to be embedded."""

    id: int
    text: str


FIND = {
    PRODUCTS: (
        "SELECT product_id, concat_ws(' ', name, brand, categories, tags, description)"
        " FROM product WHERE tenant = $1 AND space IS DISTINCT FROM $2 ORDER BY product_id LIMIT $3"
    ),
    PASSAGES: (
        "SELECT passage_id, concat_ws(' ', title, body) FROM passage"
        " WHERE tenant = $1 AND space IS DISTINCT FROM $2 ORDER BY passage_id LIMIT $3"
    ),
}
# Only when the row still says what was embedded: it may have been read anew meanwhile.
NOTE = {
    PRODUCTS: (
        "UPDATE product p SET space = $2 FROM unnest($3::bigint[], $4::text[]) u (id, text)"
        " WHERE p.tenant = $1 AND p.product_id = u.id"
        " AND concat_ws(' ', p.name, p.brand, p.categories, p.tags, p.description) = u.text"
    ),
    PASSAGES: (
        "UPDATE passage p SET space = $2 FROM unnest($3::bigint[], $4::text[]) u (id, text)"
        " WHERE p.tenant = $1 AND p.passage_id = u.id"
        " AND concat_ws(' ', p.title, p.body) = u.text"
    ),
}


async def unplaced(
    connection: Connection, tenant: int, kind: str, space: str, limit: int
) -> list[Row]:
    """Return rows without a vector in that space."""
    return [Row(*row) for row in await connection.fetch(FIND[kind], tenant, space, limit)]


async def note_placed(
    connection: Connection, tenant: int, kind: str, space: str, rows: Sequence[Row]
) -> None:
    """Say that these rows have their vectors. Safe to run twice."""
    await connection.execute(
        NOTE[kind], tenant, space, [row.id for row in rows], [row.text for row in rows]
    )


async def unplace_all(connection: Connection, tenant: int) -> None:
    """Say that no row has a vector: they are lost, or have to be made anew."""
    for table in ("product", "passage"):
        await connection.execute(
            f"UPDATE {table} SET space = NULL WHERE tenant = $1 AND space IS NOT NULL",  # noqa: S608
            tenant,
        )
