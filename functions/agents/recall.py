"""Recall: what the shop knows about a question, by its words and by its vectors, fused.

Where Chroma is away, or has no vectors in the space of today, the words alone answer; whoever asked
is told that recall is degraded.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from functions.agents.embedding import Embedder, embedder_of
from runtime import Context
from state import recall as words
from state.recall import Matches, Passage, Product
from state.vectors import PASSAGES, PRODUCTS, VectorsAway, vectors_at

DEEPER = 4
"""Each way is asked for so many times more than is wanted: the best may be second in both."""
RANK = 60
"""Reciprocal rank fusion: how little the first place counts more than the tenth."""
PRODUCT_LIMIT, PASSAGE_LIMIT = 6, 4
BY_WORDS = {PRODUCTS: words.products_by_words, PASSAGES: words.passages_by_words}


class Recalled(NamedTuple):
    """What is known."""

    products: tuple[Product, ...]
    passages: tuple[Passage, ...]
    degraded: bool
    """Full text alone, for some rows at least: Chroma is away, or does not have their vectors."""


async def recall(
    ctx: Context,
    text: str,
    *,
    product_limit: int = PRODUCT_LIMIT,
    passage_limit: int = PASSAGE_LIMIT,
) -> Recalled:
    """Return products and passages that fit a text, the best first; a limit of 0: none of these."""
    if ctx.shop is None:
        raise LookupError("only a shop can recall: the installation knows nothing")
    tenant, embedder = ctx.shop.tenant, embedder_of(ctx.settings)
    limits = {PRODUCTS: product_limit, PASSAGES: passage_limit}
    asked = {kind: limit * DEEPER for kind, limit in limits.items() if limit}
    asking = asyncio.ensure_future(_near(ctx, tenant, embedder, text, asked))
    async with ctx.reading() as connection:
        by_words = {
            kind: await BY_WORDS[kind](connection, tenant, text, limit, embedder.name)
            for kind, limit in asked.items()
        }
        by_vectors = await asking
        near = by_vectors or {}
        products, passages = (
            fused(by_words[kind].ids, near.get(kind) or []) if kind in asked else []
            for kind in (PRODUCTS, PASSAGES)
        )
        return Recalled(
            tuple(await words.products(connection, tenant, products, product_limit)),
            tuple(await words.passages(connection, tenant, passages, passage_limit)),
            by_vectors is None
            or any(_in_part(found, near.get(kind)) for kind, found in by_words.items()),
        )


def _in_part(found: Matches, near: Sequence[int] | None) -> bool:
    """Say whether some rows were asked by their words alone.

    None beside rows that say they are in Chroma: it has lost them.
    """
    return found.waiting or (found.placed and near is None)


def fused(*rankings: Sequence[int]) -> list[int]:
    """Return one ranking of several: who is high in both is first.

    >>> fused([1, 2, 3], [2, 4])
    [2, 1, 4, 3]
    """
    scores: defaultdict[int, float] = defaultdict(float)
    for ranking in rankings:
        for place, one in enumerate(ranking):
            scores[one] += 1 / (RANK + place)
    return sorted(scores, key=lambda one: -scores[one])


async def _near(
    ctx: Context, tenant: int, embedder: Embedder, text: str, asked: Mapping[str, int]
) -> dict[str, list[int] | None] | None:
    """Return the nearest of each kind, so many of it; None: nobody can say."""
    if ctx.settings.chroma_url is None:
        return None
    vectors = vectors_at(ctx.settings.chroma_url)
    try:
        (vector,) = await embedder.embed([text])
        found = await asyncio.gather(
            *(
                vectors.nearest(tenant, kind, embedder.name, vector, limit)
                for kind, limit in asked.items()
            )
        )
    except Exception as error:  # whatever ails a model or Chroma, the words are still there
        if not isinstance(error, VectorsAway):
            ctx.log.warning("recall has no vectors", error=type(error).__name__)
        return None
    return dict(zip(asked, found, strict=True))
