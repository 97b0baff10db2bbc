"""Recall: what the shop knows about a question, as rows."""

from runtime import Context
from state import recall as words
from state.recall import Passage, Product


async def recall_products(
    ctx: Context, text: str, *, limit: int = 6
) -> tuple[tuple[Product, ...], bool]:
    """Return products that fit a text, the best first, and whether recall is degraded."""
    tenant = _tenant(ctx)
    async with ctx.reading() as connection:
        ids = await words.products_by_words(connection, tenant, text, limit)
        found = await words.products(connection, tenant, ids) if ids else []
    return tuple(found), True


async def recall_passages(
    ctx: Context, text: str, *, limit: int = 4
) -> tuple[tuple[Passage, ...], bool]:
    """Return passages that fit a text, the best first, and whether recall is degraded."""
    tenant = _tenant(ctx)
    async with ctx.reading() as connection:
        ids = await words.passages_by_words(connection, tenant, text, limit)
        found = await words.passages(connection, tenant, ids) if ids else []
    return tuple(found), True


def _tenant(ctx: Context) -> int:
    if ctx.shop is None:
        raise LookupError("only a shop can recall: the installation knows nothing")
    return ctx.shop.tenant
