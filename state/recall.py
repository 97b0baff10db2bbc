"""Recall by words: products and passages of one shop, the best first."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from state.database import Connection
from state.queries import load

SQL = load("recall")


class Variant(NamedTuple):
    """One choice of a product."""

    options: dict[str, str]
    """For instance `{"Talle": "38", "Color": "Negro"}`."""
    price_cents: int | None
    """None: on request."""
    offer_cents: int | None
    """None: no offer."""
    stock: int | None
    """None: not counted."""


class Product(NamedTuple):
    """A product with everything that may be said of it."""

    product_id: int
    name: str
    description: str
    categories: str
    brand: str
    url: str | None
    variants: tuple[Variant, ...]


class Passage(NamedTuple):
    """A piece of a document."""

    passage_id: int
    title: str
    body: str
    source: str
    """The document's name."""


async def products_by_words(
    connection: Connection, tenant: int, text: str, limit: int
) -> list[int]:
    """Return ids of published products that share words with a text, the best first."""
    rows = await connection.fetch(SQL["products_by_words"], tenant, text, limit)
    return [row["product_id"] for row in rows]


async def passages_by_words(
    connection: Connection, tenant: int, text: str, limit: int
) -> list[int]:
    """Return ids of passages that share words with a text, the best first."""
    rows = await connection.fetch(SQL["passages_by_words"], tenant, text, limit)
    return [row["passage_id"] for row in rows]


async def products(connection: Connection, tenant: int, ids: Sequence[int]) -> list[Product]:
    """Return products with their variants, in the order of the ids."""
    found: dict[int, Product] = {}
    for row in await connection.fetch(SQL["products"], tenant, list(ids)):
        variants = tuple(
            Variant(json.loads(options), price, offer, stock)
            for options, price, offer, stock in zip(
                row["options"], row["prices"], row["offers"], row["stocks"], strict=True
            )
        )
        found[row["product_id"]] = Product(
            row["product_id"],
            row["name"],
            row["description"],
            row["categories"],
            row["brand"],
            row["url"],
            variants,
        )
    return [found[one] for one in ids if one in found]


async def passages(connection: Connection, tenant: int, ids: Sequence[int]) -> list[Passage]:
    """Return passages, in the order of the ids."""
    rows = await connection.fetch(SQL["passages"], tenant, list(ids))
    found = {row["passage_id"]: Passage(*row) for row in rows}
    return [found[one] for one in ids if one in found]
