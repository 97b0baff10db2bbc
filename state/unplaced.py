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
# Only when the row still says what was embedded: it may have been read anew meanwhile. Rows are
# locked in the order of their ids, as everywhere: nobody waits for each other in a circle.
NOTE = {
    PRODUCTS: (
        "WITH here AS MATERIALIZED (SELECT product_id FROM product"
        " WHERE tenant = $1 AND product_id = ANY ($3::bigint[]) ORDER BY product_id FOR UPDATE)"
        " UPDATE product p SET space = $2"
        " FROM here JOIN unnest($3::bigint[], $4::text[]) u (id, text) ON u.id = here.product_id"
        " WHERE p.tenant = $1 AND p.product_id = here.product_id"
        " AND concat_ws(' ', p.name, p.brand, p.categories, p.tags, p.description) = u.text"
    ),
    PASSAGES: (
        "WITH here AS MATERIALIZED (SELECT passage_id FROM passage"
        " WHERE tenant = $1 AND passage_id = ANY ($3::bigint[]) ORDER BY passage_id FOR UPDATE)"
        " UPDATE passage p SET space = $2"
        " FROM here JOIN unnest($3::bigint[], $4::text[]) u (id, text) ON u.id = here.passage_id"
        " WHERE p.tenant = $1 AND p.passage_id = here.passage_id"
        " AND concat_ws(' ', p.title, p.body) = u.text"
    ),
}


async def spaces(connection: Connection, tenant: int) -> list[str]:
    """Return the spaces that a shop's rows have vectors in."""
    rows = await connection.fetch(
        "SELECT space FROM product WHERE tenant = $1 AND space IS NOT NULL UNION"
        " SELECT space FROM passage WHERE tenant = $1 AND space IS NOT NULL ORDER BY space",
        tenant,
    )
    return [row["space"] for row in rows]


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
            f"WITH here AS MATERIALIZED (SELECT {table}_id FROM {table}"  # noqa: S608 - our tables
            f" WHERE tenant = $1 AND space IS NOT NULL ORDER BY {table}_id FOR UPDATE)"
            f" UPDATE {table} t SET space = NULL FROM here"
            f" WHERE t.tenant = $1 AND t.{table}_id = here.{table}_id",
            tenant,
        )
