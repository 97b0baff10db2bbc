"""Write one snapshot of the database into a back-up, while everything runs.

Rows go through COPY, in one REPEATABLE READ transaction; the schema is our own migrations. So no
`pg_dump` has to fit the server's version, and what is restored is never a statement out of a file.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from graphlib import TopologicalSorter
from pathlib import Path

from state.backup.archive import CHUNK_BYTES, Writer
from state.backup.folders import put_folders
from state.backup.manifest import FORMAT, BackupUnusable, Manifest, Table
from state.database import ENGINE, Connection, connect, has_roles
from state.errors import translated
from state.migrate import is_migration, ledger, newer_than_we, our_tables

FLEETING = frozenset(
    {"change", "watcher", "session", "worker", "service", "joined"}
    | {"rate", "rate_slot", "gate", "permit"}
    | {"reservation", "provider", "slot"}
)
"""Of a running life alone: the feed, who reads it, logins, leases, what workers did, who waits.

So are slots and permits: nobody who holds one lives on, and what waited for one asks again when it
is due, which work rows say. So is what calls under way may still spend, and how much was asked of
providers lately.
"""

COLUMNS = """
SELECT c.relname::text AS name, array_agg(a.attname::text ORDER BY a.attnum) AS columns,
       greatest(c.reltuples, 0)::bigint AS rows
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY ($1)
  AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
GROUP BY c.oid, c.relname, c.reltuples
"""
REFERENCES = """
SELECT conrelid::regclass::text AS who, confrelid::regclass::text AS whom FROM pg_constraint
WHERE contype = 'f' AND connamespace = 'public'::regnamespace AND conrelid <> confrelid
"""
SEQUENCES = """
SELECT sequencename::text, coalesce(last_value, start_value)
FROM pg_sequences WHERE schemaname = 'public'
"""
KEYS = "SELECT key_id, count(*)::int FROM credential WHERE state <> 'revoked' GROUP BY 1 ORDER BY 1"

Told = Callable[[int, int], None]
"""Called with how many rows are done, and about how many there are."""
RowsTold = Callable[[int], None]


async def dump(dsn: str, archive: Writer, root: Path, *, version: str, told: Told) -> Manifest:
    """Write everything and return the manifest, which is in the file already.

    Args:
        dsn: of Postgres.
        archive: a new file.
        root: the state folder, whose media and sessions go along.
        version: of this Nexus.
        told: see Told.

    Raises:
        BackupUnusable: there is no Nexus in this database, or a newer one.
        DatabaseAway: Postgres does not answer any more.
    """
    roles = await has_roles(dsn)
    server = {"statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}
    connection = await connect(dsn, application="nexus backup", role=None, settings=server)
    try:
        with translated():
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                manifest = await _snapshot(connection, archive, root, version, told, roles)
    finally:
        connection.terminate()
    await asyncio.to_thread(archive.finish, manifest)
    return manifest


async def _snapshot(
    connection: Connection, archive: Writer, root: Path, version: str, told: Told, roles: bool
) -> Manifest:
    migrations = await _migrations(connection)  # the first statement takes the snapshot
    made_at: datetime = await connection.fetchval("SELECT clock_timestamp()")
    # Read later than the snapshot: never less than what its rows have.
    sequences = {name: value for name, value in await connection.fetch(SEQUENCES)}
    described = await connection.fetch(COLUMNS, sorted(our_tables() - FLEETING))
    columns = {row["name"]: row["columns"] for row in described}
    references = await connection.fetch(REFERENCES)
    if roles:
        await connection.execute(f"SET LOCAL ROLE {ENGINE}")  # whose policies show every row
    keys = {name: count for name, count in await connection.fetch(KEYS)}
    whole = sum(row["rows"] for row in described)
    done, tables = 0, []
    for name in _ordered(list(columns), [(row["who"], row["whom"]) for row in references]):

        def told_of(rows: int, before: int = done) -> None:
            told(before + rows, whole)

        rows = await _copy(connection, archive, name, columns[name], told_of)
        done += rows
        tables.append(Table(name, columns[name], rows))
    await asyncio.to_thread(put_folders, archive, root)
    return Manifest(
        FORMAT, version, made_at.isoformat(), migrations, tables, sequences, keys, archive.members
    )


async def _migrations(connection: Connection) -> dict[str, str]:
    ran = {name: sum_ for name, sum_ in (await ledger(connection)).items() if is_migration(name)}
    if not ran:
        raise BackupUnusable("there is no Nexus in this database yet: nothing to back up")
    if newer := newer_than_we(ran):
        raise BackupUnusable(
            f"the database is of a newer Nexus, with {newer[0]}: make the back-up with that one"
        )
    return ran


async def _copy(
    connection: Connection, archive: Writer, table: str, columns: Sequence[str], told: RowsTold
) -> int:
    """Write a table's rows as COPY's text; returns how many."""
    with archive.member(f"tables/{table}") as put:
        gathered, rows = bytearray(), 0

        async def take(piece: bytes) -> None:
            nonlocal rows
            gathered.extend(piece)
            rows += piece.count(b"\n")  # one within a value is written otherwise
            if len(gathered) >= CHUNK_BYTES:
                await asyncio.to_thread(put, bytes(gathered))
                gathered.clear()
                told(rows)

        await connection.copy_from_table(table, columns=columns, output=take, format="text")
        await asyncio.to_thread(put, bytes(gathered))
        told(rows)
    return rows


def _ordered(tables: Sequence[str], references: Sequence[tuple[str, str]]) -> list[str]:
    """Return tables in an order in which they can be filled."""
    sorter: TopologicalSorter[str] = TopologicalSorter({name: () for name in sorted(tables)})
    for who, whom in references:
        if who in tables and whom in tables:
            sorter.add(who, whom)
    return list(sorter.static_order())
