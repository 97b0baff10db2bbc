"""Read a catalogue: the table that Tienda Nube's admin exports.

Safe to run twice: products are stored by their identifiers, in batches; a repeated run stores the
same again. What the file had before and has no more is taken off in the last transaction.
"""

import asyncio

from functions.reading.catalogue import Catalogue, read
from functions.reading.text import Unreadable
from functions.vectors_rebuild import VectorsRebuild
from runtime import Context, Event, function
from state.catalogue import put_products, unpublish_others
from state.files import stored_file
from state.sources import end_reading, note_progress, source

BATCH = 200


class CatalogueImport(Event):
    """A catalogue was given."""

    source_id: int


@function(lane="source_id", timeout=300)
async def catalogue_import(event: CatalogueImport, ctx: Context) -> dict[str, int]:
    """Import a catalogue; returns how many products, rows and refused rows it has."""
    if ctx.shop is None:
        return {}
    tenant = ctx.shop.tenant
    async with ctx.transaction() as transaction:
        connection = transaction.connection
        found = await source(connection, tenant, event.source_id)
        file = await stored_file(connection, tenant, found.file_id) if found else None
        if found is None or file is None:
            return {}
    try:
        catalogue = await asyncio.to_thread(read, file.body)
    except Unreadable as why:
        async with ctx.transaction() as transaction:
            connection = transaction.connection
            await end_reading(connection, tenant, event.source_id, done=0, problem=str(why))
        return {}
    await _store(ctx, tenant, event.source_id, catalogue)
    return {
        "products": len(catalogue.products),
        "rows": catalogue.rows,
        "refused": len(catalogue.refused),
    }


async def _store(ctx: Context, tenant: int, source_id: int, catalogue: Catalogue) -> None:
    products = catalogue.products
    for start in range(0, len(products), BATCH):
        async with ctx.transaction() as transaction:
            connection = transaction.connection
            batch = products[start : start + BATCH]
            await put_products(connection, tenant, source_id, batch)
            done = start + len(batch)
            await note_progress(connection, tenant, source_id, done, len(products))
    async with ctx.transaction() as transaction:
        connection = transaction.connection
        handles = [one.handle for one in products]
        await unpublish_others(connection, tenant, source_id, handles)
        await end_reading(
            connection, tenant, source_id, done=len(products), refused=catalogue.refused
        )
        transaction.dispatch(VectorsRebuild(everything=False))
