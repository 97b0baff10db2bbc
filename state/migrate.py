"""Bring a database to this version: tables, routines, roles, row level security.

Migrations go forward only; each file runs once, in a transaction of its own, in the order of
names. Routines and isolation are code: they are applied again when their text has changed. An
advisory lock lets any number of processes start at once.
"""

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from state.database import Connection, connect, knows_roles
from state.errors import DatabaseUnfit, translated

HERE = Path(__file__).parent
LOCK = 7_306_093_271  # any number; only ours use it
ISOLATION = "isolation.sql"
ROLES = ("nexus_engine", "nexus_app")
OLDEST_VERSION = 150_000

LEDGER = """
CREATE TABLE IF NOT EXISTS migration (
    name text PRIMARY KEY, checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp())
"""


def files() -> tuple[list[Path], list[Path]]:
    """Return the migrations (run once) and the code (applied when changed), in order."""
    migrations = sorted((HERE / "migrations").glob("*.sql"))
    return migrations, [*sorted((HERE / "routines").glob("*.sql")), HERE / ISOLATION]


async def migrate(dsn: str) -> list[str]:
    """Apply what is missing and return the names of the files that were applied.

    Raises:
        DatabaseAway: Postgres does not answer.
        DatabaseUnfit: too old; or a migration that already ran was changed since.
    """
    connection = await connect(dsn, application="nexus migrate", role=None)
    try:
        with translated():
            await _check_version(connection)
            await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
            return await _apply(connection)
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
    done = await _ledger(connection)
    migrations, code = files()
    missing = [path.name for path in migrations if path.name not in done]
    missing += [path.name for path in code if done.get(path.name) != _checksum(path)]
    newer = sorted(done.keys() - {path.name for path in [*migrations, *code]})
    if missing == [ISOLATION] and not await knows_roles(connection):
        missing = []  # a server that forbids roles: there is nothing to apply it to
    return Standing(missing, newer, ISOLATION in done)


async def _check_version(connection: Connection) -> None:
    version = int(await connection.fetchval("SHOW server_version_num"))
    if version < OLDEST_VERSION:
        raise DatabaseUnfit(f"Postgres {version // 10_000} is too old; 15 or newer is needed")


async def _ledger(connection: Connection) -> dict[str, str]:
    if await connection.fetchval("SELECT to_regclass('migration')") is None:
        return {}
    rows = await connection.fetch("SELECT name, checksum FROM migration")
    return {row["name"]: row["checksum"] for row in rows}


async def _apply(connection: Connection) -> list[str]:
    await connection.execute(LEDGER)
    done = await _ledger(connection)
    roles = await _make_roles(connection)
    migrations, code = files()
    applied = []
    for path in migrations:
        if path.name not in done:
            applied.append(await _run(connection, path))
        elif done[path.name] != _checksum(path):
            raise DatabaseUnfit(
                f"migration {path.name} was changed after it ran here; add a new one instead"
            )
    for path in code:
        if path.name == ISOLATION and not roles:
            continue
        # New tables need their policies even when the policies' own text stayed the same.
        if done.get(path.name) != _checksum(path) or (applied and path.name == ISOLATION):
            applied.append(await _run(connection, path))
    return applied


async def _run(connection: Connection, path: Path) -> str:
    text = await asyncio.to_thread(path.read_text, encoding="utf-8")
    async with connection.transaction():
        await connection.execute(text)
        await connection.execute(
            "INSERT INTO migration (name, checksum) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE"
            " SET checksum = excluded.checksum, applied_at = clock_timestamp()",
            path.name,
            _checksum(path),
        )
    return path.name


async def _make_roles(connection: Connection) -> bool:
    """Create our roles where we may; say whether they can be used.

    Roles belong to the whole server, so another database of it may be creating them right now.
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


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
