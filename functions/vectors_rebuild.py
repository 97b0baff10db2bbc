"""Bring a shop's vectors up to date from its rows in Postgres.

One run at a time for a shop, and many requests are one run: files that are read together do not
embed the same rows side by side.

Safe to run twice: vectors are stored under the rows' ids, and only then a row says in which space
it is. What Chroma lost is made again with `everything`. A space that was left is forgotten whole,
once every row has its vector in the one of today.
"""

from functions.agents.embedding import embedder_of
from runtime import Context, Event, Merge, Retry, function
from state.unplaced import note_placed, spaces, unplace_all, unplaced
from state.vectors import PASSAGES, PRODUCTS, vectors_at

BATCH = 200


class VectorsRebuild(Event):
    """Rows have no vectors yet, or have lost them."""

    everything: bool = True
    """Also those that say that they have one: Chroma may have lost them."""
    line: str = "all"
    """One line for the whole shop."""


@function(
    lane="line",
    burst=Merge(quiet_seconds=0.2, cap_seconds=5),
    timeout=300,
    retry=Retry(attempts=12),
)
async def vectors_rebuild(event: VectorsRebuild, ctx: Context) -> int:
    """Embed what has no vector in the current space; returns how many rows."""
    if ctx.shop is None or ctx.settings.chroma_url is None:
        return 0
    tenant, embedder = ctx.shop.tenant, embedder_of(ctx.settings)
    vectors, done = vectors_at(ctx.settings.chroma_url), 0
    asked = [event, *(one for one in ctx.merged if isinstance(one, VectorsRebuild))]

    async def known() -> list[str]:
        async with ctx.reading() as connection:
            return await spaces(connection, tenant)

    async def unplace() -> None:
        async with ctx.transaction() as transaction:
            await unplace_all(transaction.connection, tenant)

    # Steps: a later attempt goes on where this one stopped.
    former = [one for one in await ctx.step("spaces", known) if one != embedder.name]
    if any(one.everything for one in asked):
        await ctx.step("unplace", unplace)
    for kind in (PRODUCTS, PASSAGES):
        while True:
            async with ctx.reading() as connection:
                rows = await unplaced(connection, tenant, kind, embedder.name, BATCH)
            if not rows:
                break
            found = await embedder.embed([row.text for row in rows])
            await vectors.put(tenant, kind, embedder.name, [row.id for row in rows], found)
            async with ctx.transaction() as transaction:
                await note_placed(transaction.connection, tenant, kind, embedder.name, rows)
            done += len(rows)
    # Should a space be chosen again, it must not answer for rows that have changed since.
    for space in former:
        for kind in (PRODUCTS, PASSAGES):
            await vectors.forget(tenant, kind, space)
    return done
