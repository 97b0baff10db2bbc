"""Recall: what the shop knows about a question, by its words and by its vectors, fused.

Without Chroma the words alone answer; whoever asked is told that recall is degraded.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from functions.agents.embedding import embedder_of
from runtime import Context
from state import recall as words
from state.recall import Passage, Product
from state.vectors import PASSAGES, PRODUCTS, VectorsAway, vectors_at

DEEPER = 4
"""Each way is asked for so many times more than is wanted: the best may be second in both."""
RANK = 60
"""Reciprocal rank fusion: how little the first place counts more than the tenth."""
PRODUCT_LIMIT, PASSAGE_LIMIT = 6, 4


class Recalled(NamedTuple):
    """What is known."""

    products: tuple[Product, ...]
    passages: tuple[Passage, ...]
    degraded: bool
    """Full text alone."""


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
    tenant = ctx.shop.tenant
    near = asyncio.ensure_future(_near(ctx, tenant, text, product_limit, passage_limit))
    async with ctx.reading() as connection:
        by_words = (
            await words.products_by_words(connection, tenant, text, product_limit * DEEPER),
            await words.passages_by_words(connection, tenant, text, passage_limit * DEEPER),
        )
        by_vectors = await near
        found = by_vectors or ([], [])
        products = fused(by_words[0], found[0])[:product_limit]
        passages = fused(by_words[1], found[1])[:passage_limit]
        return Recalled(
            tuple(await words.products(connection, tenant, products)),
            tuple(await words.passages(connection, tenant, passages)),
            by_vectors is None,
        )


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
    ctx: Context, tenant: int, text: str, product_limit: int, passage_limit: int
) -> tuple[list[int], list[int]] | None:
    """Return the nearest products and passages; None: nobody can say."""
    if ctx.settings.chroma_url is None:
        return None
    embedder = embedder_of(ctx.settings)
    vectors = vectors_at(ctx.settings.chroma_url)
    try:
        (vector,) = await embedder.embed([text])
        asked = [
            vectors.nearest(tenant, kind, embedder.name, vector, limit * DEEPER)
            for kind, limit in ((PRODUCTS, product_limit), (PASSAGES, passage_limit))
            if limit
        ]
        found = await asyncio.gather(*asked)
    except Exception as error:  # whatever ails a model or Chroma, the words are still there
        if not isinstance(error, VectorsAway):
            ctx.log.warning("recall has no vectors", error=type(error).__name__)
        return None
    products = found[0] if product_limit else []
    return products, found[-1] if passage_limit else []
