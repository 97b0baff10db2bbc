"""Products and passages, as the demo model reads them out of what was recalled."""

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from functions.agents.demo.question import Question
from functions.agents.embedding import folded

OFFERED = 3
SIZE_NAMES = ("talle", "talla", "tamanho", "size", "numero")
COLOUR_NAMES = ("color", "cor", "colour")


def read(shown: Iterable[str]) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """Return products and passages (title, body) in what a model is shown, each of them once."""
    products: dict[str, dict[str, Any]] = {}
    passages: dict[tuple[str, str], None] = {}
    for text in shown:
        rows, *rest = f"\n\n{text}".split("\n\n# ")
        for line in rows.splitlines():
            if line.startswith('{"name"') and line.endswith("}"):  # a long result is cut off
                one = json.loads(line)
                products.setdefault(one["name"], one)
        for title, _, body in (block.partition("\n") for block in rest):
            passages.setdefault((title, body))
    return [*products.values()], [*passages]


def fitting(question: Question, products: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the products that are asked for: those with most of the words, in their order."""
    scored = [
        (
            3 * question.shared(one["name"])
            + 2 * question.shared(one["categories"])
            + question.shared(f"{one['description']} {one['brand']}"),
            one,
        )
        for one in products
    ]
    best = max((score for score, _ in scored), default=0)
    return [one for score, one in scored if score and score >= best - 1]


def variants_of(
    product: dict[str, Any], size: str | None, colour: str | None
) -> list[dict[str, Any]]:
    """Return variants in stock, of that size and colour where one was named."""
    return [
        one
        for one in product["variants"]
        if one["stock"] != 0
        and (size is None or fits_size(option(one, SIZE_NAMES), size))
        and (colour is None or folded(option(one, COLOUR_NAMES) or "") == folded(colour))
    ]


def price_of(variant: dict[str, Any]) -> float:
    """Return what a variant costs now, to compare; one without a price comes last.

    >>> price_of({"price": "$ 149.900", "offer": "$ 129.900"}), price_of({"price": "R$ 89,90"})
    (129900.0, 89.9)
    """
    said = re.sub(r"[^0-9.,]", "", variant.get("offer") or variant.get("price") or "")
    digits = re.sub(r"[.,](?=\d{3}(?:\D|$))", "", said).replace(",", ".")  # thousands are set apart
    return float(digits) if digits else math.inf


def fits_size(value: str | None, size: str) -> bool:
    """Say whether a variant's size is the one asked for; `37/38` and `35-39` are ranges.

    >>> fits_size("37/38", "38"), fits_size("35-39", "38"), fits_size("M", "m")
    (True, True, True)
    """
    if value is None:
        return False
    if value.casefold() == size.casefold():
        return True
    ends = value.replace("/", "-").split("-")
    if len(ends) == 2 and all(one.isdigit() for one in (*ends, size)):
        return int(ends[0]) <= int(size) <= int(ends[1])
    return False


def option(variant: dict[str, Any], names: Sequence[str]) -> str | None:
    """Return the value of an option by its names; None: the variant has none."""
    return next((v for k, v in variant.items() if folded(k) in names), None)


def colours(products: Sequence[dict[str, Any]]) -> list[str]:
    """Return every colour there is."""
    found = [option(one, COLOUR_NAMES) for each in products for one in each["variants"]]
    return list(dict.fromkeys(filter(None, found)))


def sizes(variants: Sequence[dict[str, Any]]) -> list[str]:
    """Return every size there is, in order."""
    return list(dict.fromkeys(filter(None, (option(one, SIZE_NAMES) for one in variants))))
