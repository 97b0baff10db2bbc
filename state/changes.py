"""The change feed: what happened, in order, from any point on.

Rows are read only below the oldest running transaction, in the order (xid, change_id): a reader
never passes a row that commits later. NOTIFY wakes the reader; a poll each second covers a lost
one. Postgres sends the NOTIFY only while some reader has said that it is there.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import NamedTuple

from state.database import Connection, Database, connect
from state.errors import DatabaseAway, StateFault, translated

POLL_SECONDS = 1.0
SETTLE_SECONDS = 0.05
"""When a change was announced but an older transaction still runs, look again after this."""
WATCH_SECONDS = 60
PAGE = 500

READ = """
SELECT xid::text || '.' || change_id, tenant, topic, ids FROM change
WHERE (xid, change_id) > ($1::text::xid8, $2) AND xid < pg_snapshot_xmin(pg_current_snapshot())
  AND ($3::int IS NULL OR tenant = $3)
ORDER BY xid, change_id LIMIT $4
"""
HEAD = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text || '.0'"


class Change(NamedTuple):
    """Something happened to rows of one topic."""

    cursor: str
    """Follow from here to get what came after."""
    tenant: int
    topic: str
    """For instance `invocation` or `alert`."""
    ids: tuple[int, ...]


def parse_cursor(cursor: str) -> tuple[str, int]:
    """Return transaction and number.

    Raises:
        ValueError: it is no cursor.
    """
    xid, dot, number = cursor.partition(".")
    if not (dot and xid.isascii() and xid.isdigit() and number.isascii() and number.isdigit()):
        raise ValueError("not a cursor of the change feed")
    if len(xid) > 19 or len(number) > 18:
        raise ValueError("not a cursor of the change feed")
    return xid, int(number)


class ChangeFeed:
    """All followers of one process share one connection that listens."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._followers: set[asyncio.Event] = set()
        self._listener: asyncio.Task[None] | None = None

    async def head(self) -> str:
        """Return a cursor that means "from now on"."""
        async with self._database.engine() as connection:
            return str(await connection.fetchval(HEAD))

    async def follow(
        self, cursor: str | None = None, *, tenant: int | None = None
    ) -> AsyncIterator[Change]:
        """Give everything after the cursor (None: from now on), then go on as it happens.

        Ends only when the caller stops; while Postgres is away, nothing comes.

        Raises:
            ValueError: the cursor is none.
        """
        at = parse_cursor(cursor if cursor is not None else await self.head())
        news = asyncio.Event()
        self._followers.add(news)
        if self._listener is None or self._listener.done():
            self._listener = asyncio.create_task(self._listen())
        try:
            while True:
                news.clear()
                changes: list[Change] = []
                with suppress(DatabaseAway):
                    changes = await self._read(at, tenant)
                for change in changes:
                    yield change
                    at = parse_cursor(change.cursor)
                if len(changes) < PAGE:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(POLL_SECONDS):
                            await news.wait()
        finally:
            self._followers.discard(news)

    async def aclose(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            self._listener.cancel()
            with suppress(asyncio.CancelledError):
                await self._listener

    async def _read(self, at: tuple[str, int], tenant: int | None) -> list[Change]:
        async with self._database.engine() as connection:
            rows = await connection.fetch(READ, at[0], at[1], tenant, PAGE)
        return [Change(row[0], row[1], row[2], tuple(row[3])) for row in rows]

    def _tell(self, *_: object) -> None:
        for news in self._followers:
            news.set()
        # The row is visible once the oldest transaction of that moment has ended.
        asyncio.get_running_loop().call_later(SETTLE_SECONDS, self._tell_again)

    def _tell_again(self) -> None:
        for news in self._followers:
            news.set()

    async def _listen(self) -> None:
        """Hold a connection that listens, and say every 20 s that somebody watches."""
        watcher = random.randrange(1, 2**31)  # noqa: S311 - a name, not a secret
        while self._followers:
            connection: Connection | None = None
            try:
                connection = await connect(
                    self._database.dsn,
                    application="nexus feed",
                    role="nexus_engine" if self._database.roles else None,
                )
                with translated():
                    await connection.add_listener("nexus_change", self._tell)
                    while self._followers:
                        await _watch(connection, watcher)
                        await asyncio.sleep(WATCH_SECONDS / 3)
            except StateFault:
                await asyncio.sleep(POLL_SECONDS)
            finally:
                if connection is not None:
                    connection.terminate()


async def _watch(connection: Connection, watcher: int) -> None:
    """Say that somebody follows; forget those who stopped."""
    await connection.execute(
        "INSERT INTO watcher (watcher_id, until)"
        " VALUES ($1, clock_timestamp() + make_interval(secs => $2))"
        " ON CONFLICT (watcher_id) DO UPDATE SET until = excluded.until",
        watcher,
        float(WATCH_SECONDS),
    )
    await connection.execute(
        "DELETE FROM watcher WHERE until < clock_timestamp() - interval '1 day'"
    )
