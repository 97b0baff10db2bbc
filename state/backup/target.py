"""A database that a back-up is to go into: what is there, and who works in it."""

import asyncio
from typing import NamedTuple

from state.backup.manifest import BackupUnusable
from state.database import ENGINE, Connection, connect, has_roles
from state.errors import translated
from state.migrate import check_version, ledger, newer_than_we, our_tables

AT_WORK = """
SELECT application_name, count(*)::int FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'nexus %'
GROUP BY 1 ORDER BY 1
"""
"""Everything of Nexus names itself so."""
LOOKS, LOOK_SECONDS = 10, 0.1
"""A process that has just ended is seen for a moment longer."""
OTHERS = """
SELECT c.relname::text FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND c.relname <> 'migration'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1
"""


class Found(NamedTuple):
    """What is in a database that a back-up is to go into."""

    shops: list[str]
    counts: dict[str, int]
    """Of conversations, messages and credentials, by their tables' names."""
    others: list[str]
    """Tables that are not of Nexus."""

    @property
    def empty(self) -> bool:
        """Whether nothing would be lost."""
        return not self.shops and not any(self.counts.values())


async def found_in(dsn: str) -> Found:
    """Return what is in a database.

    Raises:
        DatabaseAway: nobody answers there.
    """
    connection = await connect(dsn, application="nexus restore", role=None)
    try:
        with translated():
            await check_version(connection)
            ran = await ledger(connection)
            there = {row[0] for row in await connection.fetch(OTHERS)}
            # Tables of a version that came after ours are of Nexus, too.
            others = [] if newer_than_we(ran) else sorted(there - our_tables())
            if not ran:
                return Found([], {}, others)
            if await has_roles(dsn):
                await connection.execute(f"SET ROLE {ENGINE}")
            shops = await connection.fetch("SELECT name FROM shop WHERE tenant > 0 ORDER BY name")
            counts = {
                table: await connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608
                for table in ("conversation", "message", "credential")
                if table in there
            }
            return Found([row["name"] for row in shops], counts, others)
    finally:
        connection.terminate()


async def nobody_at_work(connection: Connection) -> None:
    """Refuse while Nexus is at work on a database.

    Raises:
        BackupUnusable: names what is connected.
    """
    for left in range(LOOKS, 0, -1):
        await connection.execute("SELECT pg_stat_clear_snapshot()")
        found = await connection.fetch(AT_WORK)
        if not found:
            return
        if left > 1:
            await asyncio.sleep(LOOK_SECONDS)
    names = ", ".join(f"{name} ({count} connections)" for name, count in found)
    raise BackupUnusable(
        f"Nexus is at work on this database: {names}. Stop its processes, then restore; nothing was"
        " changed"
    )
