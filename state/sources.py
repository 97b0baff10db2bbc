"""Sources: the documents and catalogues of a shop, by the names of their files."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from state.database import Connection
from state.files import put_file
from state.queries import load

SQL = load("sources")

DOCUMENT, CATALOGUE = "document", "catalogue"
WAITING, READING, READY, FAILED = "waiting", "reading", "ready", "failed"


class Refused(NamedTuple):
    """A row that could not be taken."""

    line: int
    """Of the file, from 1; the heading is line 1."""
    problem: str


class Source(NamedTuple):
    """A document or a catalogue."""

    source_id: int
    kind: str
    """DOCUMENT or CATALOGUE."""
    name: str
    """Of its file."""
    file_id: int
    state: str
    """WAITING, READING, READY or FAILED."""
    problem: str | None
    """Why it failed, and what to do."""
    done: int
    """Rows or passages that are taken."""
    total: int | None
    """Of them all; None: not known yet."""
    refused: list[Refused]
    updated_at: datetime


async def give_source(
    connection: Connection, tenant: int, kind: str, name: str, media_type: str, body: bytes
) -> tuple[Source, bool]:
    """Store a file as the source of that name; returns it, and whether there is anything to read.

    The same content again changes nothing, unless it could not be read the last time.

    Raises:
        ValueError: the file is too large.
    """
    row = await connection.fetchrow(SQL["same"], tenant, kind, name, body)
    if row is not None:
        return _source(row), False
    file_id = await put_file(connection, tenant, name, media_type, body)
    row = await connection.fetchrow(SQL["give"], tenant, kind, name, file_id)
    await connection.execute(SQL["forget_files"], tenant)
    return _source(row), True


async def source(connection: Connection, tenant: int, source_id: int) -> Source | None:
    """Return one source; None: the shop has no such."""
    row = await connection.fetchrow(SQL["one"], tenant, source_id)
    return _source(row) if row else None


async def sources(connection: Connection, tenant: int, kind: str) -> list[Source]:
    """Return a shop's sources of one kind, by name."""
    return [_source(row) for row in await connection.fetch(SQL["all"], tenant, kind)]


async def note_progress(
    connection: Connection, tenant: int, source_id: int, done: int, total: int | None
) -> None:
    """Say how far the reading is."""
    await connection.execute(SQL["progress"], tenant, source_id, done, total)


async def end_reading(
    connection: Connection,
    tenant: int,
    source_id: int,
    *,
    done: int,
    refused: Sequence[Refused] = (),
    problem: str | None = None,
) -> None:
    """Say how the reading ended: well, or with a problem in words."""
    await connection.execute(
        SQL["end"],
        tenant,
        source_id,
        READY if problem is None else FAILED,
        done,
        json.dumps([one._asdict() for one in refused]),
        problem,
    )


async def remove_source(connection: Connection, tenant: int, kind: str, name: str) -> bool:
    """Forget a source and what was read from it. False: there was none; safe to run twice."""
    source_id = await connection.fetchval(SQL["named"], tenant, kind, name)
    if source_id is None:
        return False
    for statement in ("remove_passages", "remove_products", "remove"):
        await connection.execute(SQL[statement], tenant, source_id)
    await connection.execute(SQL["forget_files"], tenant)
    return True


def _source(row: object) -> Source:
    values = dict(row)  # type: ignore[call-overload]
    values["refused"] = [Refused(**one) for one in json.loads(values["refused"])]
    return Source(**values)
