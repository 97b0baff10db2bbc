"""The catalogue: products with their variants, in batches."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from state.database import Connection
from state.queries import load

SQL = load("catalogue")


@dataclass(frozen=True, slots=True)
class NewVariant:
    """A choice of a product, as it was read."""

    options: Mapping[str, str]
    sku: str | None
    price_cents: int | None
    offer_cents: int | None
    stock: int | None
    """None: not counted."""


@dataclass(frozen=True, slots=True)
class NewProduct:
    """A product, as it was read."""

    handle: str
    name: str
    description: str
    categories: str
    tags: str
    brand: str
    url: str | None
    published: bool
    variants: Sequence[NewVariant] = field(repr=False)


async def put_products(
    connection: Connection, tenant: int, source_id: int, products: Sequence[NewProduct]
) -> None:
    """Store products, by handle; their variants are replaced. Safe to run twice.

    A product whose words did not change keeps its vector.
    """
    if not products:
        return
    rows = await connection.fetch(
        SQL["put"],
        tenant,
        source_id,
        [one.handle for one in products],
        [one.name for one in products],
        [one.description for one in products],
        [one.categories for one in products],
        [one.tags for one in products],
        [one.brand for one in products],
        [one.url for one in products],
        [one.published for one in products],
    )
    ids = {row["handle"]: row["product_id"] for row in rows}
    columns: tuple[list[Any], ...] = ([], [], [], [], [], [], [])
    for product in products:
        for place, variant in enumerate(product.variants, 1):
            values = (
                ids[product.handle],
                place,
                json.dumps(dict(variant.options), ensure_ascii=False),
                variant.sku,
                variant.price_cents,
                variant.offer_cents,
                variant.stock,
            )
            for column, value in zip(columns, values, strict=True):
                column.append(value)
    await connection.execute(SQL["clear_variants"], tenant, list(ids.values()))
    await connection.execute(SQL["put_variants"], tenant, *columns)


async def unpublish_others(
    connection: Connection, tenant: int, source_id: int, handles: Sequence[str]
) -> int:
    """Take products off that this source had and has no more; returns how many."""
    status: str = await connection.execute(SQL["unpublish"], tenant, source_id, list(handles))
    return int(status.rpartition(" ")[2])
