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


class Matches(NamedTuple):
    """What shares words with a text; and how far the shop's vectors are, for those who ask both."""

    ids: list[int]
    """The best first."""
    waiting: bool
    """Some rows have no vector in the space: only their words find them."""
    placed: bool
    """Some rows have a vector in the space."""


async def products_by_words(
    connection: Connection, tenant: int, text: str, limit: int, space: str
) -> Matches:
    """Return published products that share words with a text."""
    return Matches(*await connection.fetchrow(SQL["products_by_words"], tenant, text, limit, space))


async def passages_by_words(
    connection: Connection, tenant: int, text: str, limit: int, space: str
) -> Matches:
    """Return passages that share words with a text."""
    return Matches(*await connection.fetchrow(SQL["passages_by_words"], tenant, text, limit, space))


async def products(
    connection: Connection, tenant: int, ids: Sequence[int], limit: int
) -> list[Product]:
    """Return products with their variants, in the order of the ids; none that was taken off."""
    if not ids:
        return []
    found = []
    for row in await connection.fetch(SQL["products"], tenant, list(ids), limit):
        variants = tuple(
            Variant(json.loads(options), price, offer, stock)
            for options, price, offer, stock in zip(
                row["options"], row["prices"], row["offers"], row["stocks"], strict=True
            )
        )
        found.append(
            Product(
                row["product_id"],
                row["name"],
                row["description"],
                row["categories"],
                row["brand"],
                row["url"],
                variants,
            )
        )
    return found


async def passages(
    connection: Connection, tenant: int, ids: Sequence[int], limit: int
) -> list[Passage]:
    """Return passages, in the order of the ids; none that was removed."""
    if not ids:
        return []
    return [Passage(*row) for row in await connection.fetch(SQL["passages"], tenant, ids, limit)]
