"""Bring a database to this version: tables, routines, roles, row level security.

Migrations go forward only; each file runs once, in a transaction of its own, in the order of
names. Routines and isolation are code: they are applied again when their text has changed. An
advisory lock lets any number of processes start at once.
"""

import asyncio
import hashlib
import re
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from state.database import Connection, connect, knows_roles
from state.errors import DatabaseUnfit, Deadlock, Locked, translated

HERE = Path(__file__).parent
LOCK = 7_306_093_271  # any number; only ours use it
ISOLATION = "isolation.sql"
ROLES = ("nexus_engine", "nexus_app")
OLDEST_VERSION = 150_000
LOCK_WAIT = "700ms"
"""A change of a busy table queues everybody behind it while it waits for those before it. It steps
back after this: before others have waited long, and before a deadlock (1 s) would end theirs."""
TRIES, PAUSE_SECONDS = 120, 0.3

CREATED = re.compile(r"^CREATE (?:UNLOGGED )?TABLE (\w+)", re.MULTILINE)

LEDGER = """
CREATE TABLE IF NOT EXISTS migration (
    name text PRIMARY KEY, checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp())
"""


def files() -> tuple[list[Path], list[Path]]:
    """Return the migrations (run once) and the code (applied when changed), in order.

    Grants come before the routines that need them: workers of the version before run meanwhile.
    """
    migrations = sorted((HERE / "migrations").glob("*.sql"))
    return migrations, [HERE / ISOLATION, *sorted((HERE / "routines").glob("*.sql"))]


def is_migration(name: str) -> bool:
    """Say whether a name of the ledger is a migration's; the others are code."""
    return name[:4].isdigit()


def newer_than_we(names: Iterable[str]) -> list[str]:
    """Return those migrations that this version does not have."""
    return sorted({name for name in names if is_migration(name)} - {p.name for p in files()[0]})


def our_tables() -> frozenset[str]:
    """Return the tables that migrations make."""
    texts = (path.read_text(encoding="utf-8") for path in files()[0])
    return frozenset(name for text in texts for name in CREATED.findall(text))


async def migrate(dsn: str) -> list[str]:
    """Apply what is missing and return the names of the files that were applied.

    Raises:
        DatabaseAway: Postgres does not answer.
        DatabaseUnfit: too old; or a migration that already ran was changed since.
    """
    connection = await connect(dsn, application="nexus migrate", role=None)
    try:
        with translated():
            await check_version(connection)
            await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
            await connection.execute(f"SET lock_timeout = '{LOCK_WAIT}'")
            return await apply(connection, roles=await make_roles(connection))
    finally:
        await connection.close()


async def pending(dsn: str) -> list[str]:
    """Return the names of files that `migrate` would apply."""
    connection = await connect(dsn, application="nexus migrate", role=None)
    try:
        with translated():
            return (await standing(connection)).missing
    finally:
        await connection.close()


@dataclass(frozen=True)
class Standing:
    """How far a database is, compared with the files of this version."""

    missing: list[str]
    """Files that `migrate` would apply."""
    newer: list[str]
    """Files that were applied and that this version does not have: it is the older one."""
    roles: bool
    """Whether isolation.sql was applied; False: this server forbids roles."""


async def standing(connection: Connection) -> Standing:
    """Return how far the database is; as the login user. Safe to run twice: it only reads."""
    done = await ledger(connection)
    migrations, code = files()
    missing = [path.name for path in migrations if path.name not in done]
    missing += [path.name for path in code if done.get(path.name) != checksum(path)]
    newer = sorted(done.keys() - {path.name for path in [*migrations, *code]})
    if missing == [ISOLATION] and not await knows_roles(connection):
        missing = []  # a server that forbids roles: there is nothing to apply it to
    return Standing(missing, newer, ISOLATION in done)


async def check_version(connection: Connection) -> None:
    """Refuse a server that is too old.

    Raises:
        DatabaseUnfit: says which is needed.
    """
    version = int(await connection.fetchval("SHOW server_version_num"))
    if version < OLDEST_VERSION:
        raise DatabaseUnfit(f"Postgres {version // 10_000} is too old; 15 or newer is needed")


async def ledger(connection: Connection) -> dict[str, str]:
    """Return the files that were applied here, with their checksums; none: an empty database."""
    if await connection.fetchval("SELECT to_regclass('migration')") is None:
        return {}
    rows = await connection.fetch("SELECT name, checksum FROM migration")
    return {row["name"]: row["checksum"] for row in rows}


async def apply(
    connection: Connection, *, roles: bool, only: Container[str] | None = None
) -> list[str]:
    """Apply what is missing, on a connection of the login user that holds the lock.

    Args:
        connection: may be in a transaction.
        roles: whether our roles can be used; see `make_roles`.
        only: no others than these migrations, and no code. None: everything.

    Raises:
        DatabaseUnfit: a migration that already ran was changed since.
    """
    await connection.execute(LEDGER)
    done = await ledger(connection)
    migrations, code = files()
    applied = []
    for path in migrations:
        if only is not None and path.name not in only:
            continue
        if path.name not in done:
            applied.append(await _run(connection, path))
        elif done[path.name] != checksum(path):
            raise DatabaseUnfit(
                f"migration {path.name} was changed after it ran here; add a new one instead"
            )
    for path in code if only is None else ():
        if path.name == ISOLATION and not roles:
            continue
        # New tables need their policies even when the policies' own text stayed the same.
        if done.get(path.name) != checksum(path) or (applied and path.name == ISOLATION):
            applied.append(await _run(connection, path))
    return applied


async def _run(connection: Connection, path: Path) -> str:
    """Apply a file; again when others were in its way: then it did nothing."""
    text = await asyncio.to_thread(path.read_text, encoding="utf-8")
    for _ in range(TRIES):
        try:
            with translated():
                return await _once(connection, path, text)
        except (Locked, Deadlock):
            await asyncio.sleep(PAUSE_SECONDS)
    with translated():
        return await _once(connection, path, text)


async def _once(connection: Connection, path: Path, text: str) -> str:
    async with connection.transaction():
        await connection.execute(text)
        await connection.execute(
            "INSERT INTO migration (name, checksum) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE"
            " SET checksum = excluded.checksum, applied_at = clock_timestamp()",
            path.name,
            checksum(path),
        )
    return path.name


async def make_roles(connection: Connection) -> bool:
    """Create our roles where we may; say whether they can be used.

    Roles belong to the whole server, so another database of it may be creating them right now.
    Not in a transaction: what is refused would end it.
    """
    for role in ROLES:
        try:
            if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
                await connection.execute(f"CREATE ROLE {role} NOLOGIN")
        except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
            pass
        except asyncpg.InsufficientPrivilegeError:
            return False
    for role in ROLES:
        member = "SELECT pg_has_role(current_user, $1, 'USAGE')"
        if not await connection.fetchval(member, role):
            try:
                await connection.execute(f"GRANT {role} TO current_user")
            except asyncpg.InsufficientPrivilegeError:
                return False
    return True


def checksum(path: Path) -> str:
    """Return what tells whether a file was changed."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
