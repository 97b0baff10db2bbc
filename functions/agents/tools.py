"""What the agent can do besides talking. Results are short text, and evidence for its words."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from functions.agents.recall import recall
from runtime import Context
from state.recall import Passage, Product, Variant
from state.rules.money import money

SEARCH_PRODUCTS, SEARCH_KNOWLEDGE = "search_products", "search_knowledge"
HAND_OVER = "hand_over"
DESCRIPTION_LIMIT = 300


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Search(_Arguments):
    """What to look for."""

    query: str


class HandOver(_Arguments):
    """Why a person has to go on."""

    reason: str
    summary: str = ""


def _declare(name: str, description: str, properties: Mapping[str, str]) -> dict[str, Any]:
    fields = {key: {"type": "string", "description": text} for key, text in properties.items()}
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": fields,
                "required": list(properties)[:1],
                "additionalProperties": False,
            },
        },
    }


TOOLS = (
    _declare(
        SEARCH_PRODUCTS,
        "Find products of the shop with their variants, prices and stock as of now.",
        {"query": "what the shopper looks for: kind of product, colour, size, brand"},
    ),
    _declare(
        SEARCH_KNOWLEDGE,
        "Find what the shop says about shipping, payment, returns, sizes, hours, its store.",
        {"query": "the question"},
    ),
    _declare(
        HAND_OVER,
        "Give the conversation to a person of the shop. Use it alone.",
        {
            "reason": "why, in a few words, for the person",
            "summary": "what the shopper wants and what was said, in two lines",
        },
    ),
)


class ToolFault(Exception):
    """The tool could not be used like that; the text is for the model."""


async def use(ctx: Context, name: str, arguments: str, currency: str) -> str:
    """Use a tool and return what the model reads.

    Raises:
        ToolFault: there is no such tool, or its arguments are wrong.
    """
    if name == SEARCH_PRODUCTS:
        found = await recall(ctx, parsed(Search, arguments).query, passage_limit=0)
        return products_text(found.products, currency)
    if name == SEARCH_KNOWLEDGE:
        found = await recall(ctx, parsed(Search, arguments).query, product_limit=0)
        return passages_text(found.passages)
    raise ToolFault(f"there is no tool {name!r}")


def parsed(kind: type[Any], arguments: str) -> Any:
    """Return arguments as the model wrote them, checked."""
    try:
        return kind.model_validate_json(arguments or "{}")
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "arguments"
        raise ToolFault(f"{field}: {first['msg']}") from None


def products_text(products: tuple[Product, ...], currency: str) -> str:
    """Return products as the model reads them: one line of JSON each."""
    if not products:
        return "no product fits"
    return "\n".join(
        json.dumps(
            {
                "name": one.name,
                "brand": one.brand,
                "categories": one.categories,
                "description": one.description[:DESCRIPTION_LIMIT],
                "url": one.url,
                "variants": [_variant(each, currency) for each in one.variants],
            },
            ensure_ascii=False,
        )
        for one in products
    )


def passages_text(passages: tuple[Passage, ...]) -> str:
    """Return passages as the model reads them."""
    return "\n\n".join(f"# {one.title}\n{one.body}" for one in passages) or "nothing is known of it"


def _variant(variant: Variant, currency: str) -> dict[str, Any]:
    said: dict[str, Any] = dict(variant.options)
    if variant.price_cents is not None:
        said["price"] = money(variant.price_cents, currency)
    if variant.offer_cents is not None:
        said["offer"] = money(variant.offer_cents, currency)
    said["stock"] = "available" if variant.stock is None else variant.stock
    return said
