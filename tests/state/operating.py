"""Break a database, look at its rows, and watch the surgeon."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from state.surgeon import Report, examine

OURS = ("surgery", "alert", "change")  # the surgeon writes there itself


@asynccontextmanager
async def talking(dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Lend a connection as the owner of everything."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def break_it(dsn: str, text: str) -> dict[str, str]:
    """Break it, and return the rows as they are then."""
    async with talking(dsn) as connection:
        await connection.execute(text)
        return await rows_of(connection)


async def rows_of(
    connection: "asyncpg.Connection[asyncpg.Record]", like: dict[str, str] | None = None
) -> dict[str, str]:
    """Return for each table a digest of its rows, under the statement that reads them."""
    if like is None:
        tables = await connection.fetch(
            "SELECT format('SELECT md5(coalesce(string_agg(t::text, '','' ORDER BY t::text), ''''))"
            " FROM (SELECT %s FROM %I) t', string_agg(quote_ident(attname), ', '), relname)"
            " FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid AND attnum > 0"
            " AND NOT attisdropped WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            " AND relname <> ALL ($1::text[]) GROUP BY relname",
            OURS,
        )
        like = {row[0]: "" for row in tables}
    row = await connection.fetchrow("SELECT " + ", ".join(f"({query})" for query in like))
    return dict(zip(like, row or (), strict=True))


async def assert_same_rows(dsn: str, before: dict[str, str]) -> None:
    async with talking(dsn) as connection:
        assert await rows_of(connection, before) == before


async def assert_as_declared(dsn: str) -> None:
    report = await examine(dsn)
    assert [finding.what for finding in report.findings] == []
    assert report.whole


def told(report: Report, state: str) -> list[str]:
    return [finding.what for finding in report.of(state)]


async def waits_for(dsn: str, event: str) -> int:
    """Wait until a surgeon waits for a lock, and return its backend."""
    async with asyncio.timeout(30), talking(dsn) as connection:
        while True:
            found = await connection.fetchval(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'nexus surgeon'"
                " AND datname = current_database() AND wait_event = $1",
                event,
            )
            if found:
                return int(found)
            await asyncio.sleep(0.01)


async def gone(dsn: str, backend: int) -> None:
    async with asyncio.timeout(30), talking(dsn) as connection:
        while await connection.fetchval(
            "SELECT true FROM pg_stat_activity WHERE pid = $1", backend
        ):
            await asyncio.sleep(0.01)
