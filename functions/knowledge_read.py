"""Read a document into passages.

Safe to run twice: what was read replaces what was read before, in one transaction.
"""

import asyncio

from functions.reading.documents import read
from functions.reading.text import Unreadable
from functions.vectors_rebuild import VectorsRebuild
from runtime import Context, Event, function
from state.files import stored_file
from state.passages import replace_passages
from state.sources import end_reading, note_progress, source


class KnowledgeRead(Event):
    """A document was given."""

    source_id: int


@function(lane="source_id", timeout=120)
async def knowledge_read(event: KnowledgeRead, ctx: Context) -> int:
    """Read a document; returns how many passages it has."""
    if ctx.shop is None:
        return 0
    tenant = ctx.shop.tenant
    async with ctx.transaction() as transaction:
        connection = transaction.connection
        found = await source(connection, tenant, event.source_id)
        file = await stored_file(connection, tenant, found.file_id) if found else None
        if found is None or file is None:
            return 0
        await note_progress(connection, tenant, event.source_id, 0, None)
    try:
        pieces = await asyncio.to_thread(read, file.name, file.body)
    except Unreadable as why:
        async with ctx.transaction() as transaction:
            connection = transaction.connection
            await end_reading(connection, tenant, event.source_id, done=0, problem=str(why))
        return 0
    async with ctx.transaction() as transaction:
        await replace_passages(transaction.connection, tenant, event.source_id, pieces)
        await end_reading(transaction.connection, tenant, event.source_id, done=len(pieces))
        transaction.dispatch(VectorsRebuild(everything=False))
    return len(pieces)
