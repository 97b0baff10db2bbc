"""Bring a back-up into a database: everything in one transaction, or nothing.

The schema is made by the migrations that the back-up's had, filled, and then brought to this
version, as an upgrade would. No statement comes out of the file: rows go through COPY into tables
of ours, and names that are not ours are refused.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from state.backup.aftermath import Aftermath, settle
from state.backup.archive import Reader
from state.backup.dump import COLUMNS, Told
from state.backup.manifest import BackupUnusable, Manifest
from state.backup.records import note_backup
from state.backup.target import nobody_at_work
from state.database import ENGINE, Connection, connect
from state.errors import Locked, RowRejected, translated
from state.migrate import (
    LOCK,
    apply,
    check_version,
    checksum,
    files,
    is_migration,
    make_roles,
    newer_than_we,
    our_tables,
)

SERVER = {
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": "10s",
}
GAP, SMALL_GAP = 10_000_000_000, 1_000_000
"""Ids (of bigint, of int) that are left out: the life after the snapshot has given them away."""
DROPS = """
SELECT format('DROP %s IF EXISTS %s CASCADE',
              CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass)
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'S')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid
                  AND (d.deptype = 'e' OR (c.relkind = 'S' AND d.deptype IN ('a', 'i'))))
UNION ALL
SELECT format('DROP ROUTINE IF EXISTS %s CASCADE', p.oid::regprocedure)
FROM pg_proc p
WHERE p.pronamespace = 'public'::regnamespace AND pg_has_role(p.proowner, 'USAGE')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
"""
SET_SEQUENCE = """
SELECT setval(c.oid, least(s.seqmax, $2::bigint + CASE WHEN s.seqtypid = 'bigint'::regtype
                                                       THEN $3::bigint ELSE $4::bigint END))
FROM pg_class c JOIN pg_sequence s ON s.seqrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'S' AND c.relname = $1
"""


@dataclass(frozen=True)
class Restored:
    """What a restore did."""

    rows: int
    migrated: list[str]
    """Migrations that brought the back-up to this version."""
    aftermath: Aftermath


def check(manifest: Manifest) -> None:
    """Refuse what this version cannot restore.

    Raises:
        BackupUnusable: it was made by a newer version, or by a build with other migrations.
    """
    if newer := newer_than_we(manifest.migrations):
        raise BackupUnusable(
            f"it was made by a newer Nexus ({manifest.version}, with {newer[0]}): restore it with"
            " that version or a newer one"
        )
    ours = {path.name: checksum(path) for path in files()[0]}
    for name, found in manifest.migrations.items():
        if ours.get(name) != found:
            raise BackupUnusable(
                f"it was made by another build of Nexus ({manifest.version}), whose {name} is"
                " different from ours"
            )
    if unknown := sorted({one.name for one in manifest.tables} - our_tables()):
        raise BackupUnusable(f"it holds a table that Nexus does not have: {unknown[0]}")


async def load(
    dsn: str, archive: Reader, *, stopped_at: datetime | None, actor: str, told: Told
) -> Restored:
    """Replace everything of Nexus in a database by what a back-up holds.

    Whatever fails, nothing has changed. The archive was verified before.

    Args:
        dsn: of Postgres.
        archive: checked by `check`, verified.
        stopped_at: see `settle`.
        actor: for the audit log.
        told: called with rows done, and how many there are.

    Raises:
        BackupUnusable: something of Nexus is at work there, or the rows do not fit.
        DatabaseAway: Postgres does not answer.
    """
    connection = await connect(dsn, application="nexus restore", role=None, settings=SERVER)
    try:
        with translated():
            await check_version(connection)
            roles = await make_roles(connection)
            await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
            async with connection.transaction():
                await nobody_at_work(connection)
                restored = await _replace(connection, archive, roles, stopped_at, actor, told)
            await connection.execute("ANALYZE")
    except Locked:
        raise BackupUnusable(
            "somebody is using the database (a lock was not free for 10 s): end that, and try again"
        ) from None
    except RowRejected as error:
        raise BackupUnusable(f"its rows do not fit ({error}); nothing was changed") from None
    finally:
        connection.terminate()
    return restored


async def _replace(
    connection: Connection,
    archive: Reader,
    roles: bool,
    stopped_at: datetime | None,
    actor: str,
    told: Told,
) -> Restored:
    manifest = archive.manifest
    for (drop,) in await connection.fetch(DROPS):
        await connection.execute(drop)
    await apply(connection, roles=roles, only=manifest.migrations)
    rows = await _fill(connection, archive, told)
    for name, value in manifest.sequences.items():
        await connection.execute(SET_SEQUENCE, name, value, GAP, SMALL_GAP)
    migrated = [name for name in await apply(connection, roles=roles) if is_migration(name)]
    if roles:
        await connection.execute(f"SET LOCAL ROLE {ENGINE}")
    aftermath = await settle(
        connection,
        snapshot_at=manifest.snapshot_at,
        stopped_at=stopped_at,
        file=archive.path.name,
    )
    await note_backup(
        connection,
        manifest,
        file=str(archive.path),
        size_bytes=archive.size_bytes,
        actor=actor,
        action="backup.restore",
    )
    await connection.execute("RESET ROLE")
    return Restored(rows, migrated, aftermath)


async def _fill(connection: Connection, archive: Reader, told: Told) -> int:
    """Put the rows into tables that have none but what migrations put there."""
    manifest = archive.manifest
    described = await connection.fetch(COLUMNS, sorted(our_tables()))
    known = {row["name"]: set(row["columns"]) for row in described}
    names = [one.name for one in manifest.tables]
    await connection.execute("TRUNCATE " + ", ".join(f'"{name}"' for name in names))
    whole, done = sum(one.rows for one in manifest.tables), 0
    for table in manifest.tables:
        if not set(table.columns) <= known.get(table.name, set()):
            raise BackupUnusable(f"its table {table.name} has columns that Nexus does not have")
        status = await connection.copy_to_table(
            table.name, columns=table.columns, source=_pieces(archive, table.name), format="text"
        )
        if int(status.rpartition(" ")[2]) != table.rows:
            raise BackupUnusable(f"its table {table.name} has not the rows that it says it has")
        done += table.rows
        told(done, whole)
    return done


async def _pieces(archive: Reader, table: str) -> AsyncIterator[bytes]:
    pieces = archive.pieces(f"tables/{table}")
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece
