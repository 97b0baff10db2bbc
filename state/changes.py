"""The change feed: what happened, in order, from any point on.

Rows are read only below the oldest running transaction, in the order (xid, change_id): a reader
never passes a row that commits later. NOTIFY wakes the reader; a poll each second covers a lost
one. Postgres sends the NOTIFY only while some reader has said that it is there, and for what.
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
SELECT h.head::text, c.xid::text || '.' || c.change_id, c.tenant, c.topic, c.ids
FROM (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS head) h
LEFT JOIN LATERAL (
    SELECT xid, change_id, tenant, topic, ids FROM change
    WHERE (xid, change_id) > ($1::text::xid8, $2) AND xid < h.head
      AND ($3::int IS NULL OR tenant = $3) AND ($4::text[] IS NULL OR topic = ANY ($4))
    ORDER BY xid, change_id LIMIT $5) c ON true
ORDER BY c.xid, c.change_id
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
        self._followers: dict[asyncio.Event, str | None] = {}
        """Whom to wake, and the topic that each follows; None: all."""
        self._listener: asyncio.Task[None] | None = None
        self._joined = asyncio.Event()

    async def head(self) -> str:
        """Return a cursor that means "from now on"."""
        async with self._database.engine() as connection:
            return str(await connection.fetchval(HEAD))

    async def follow(
        self, cursor: str | None = None, *, tenant: int | None = None, topic: str | None = None
    ) -> AsyncIterator[Change]:
        """Give everything after the cursor (None: from now on), then go on as it happens.

        Ends only when the caller stops; while Postgres is away, nothing comes.

        Args:
            cursor: of the last change that the caller knows.
            tenant: only of this shop; None: of all.
            topic: only this one; None: all. Then every commit tells us, which costs all of them.

        Raises:
            ValueError: the cursor is none.
        """
        at = parse_cursor(cursor if cursor is not None else await self.head())
        topics = None if topic is None else [topic]
        news = asyncio.Event()
        self._followers[news] = topic
        self._joined.set()
        if self._listener is None or self._listener.done():
            self._listener = asyncio.create_task(self._listen())
        try:
            while True:
                news.clear()
                changes: list[Change] = []
                with suppress(DatabaseAway):
                    changes, at = await self._read(at, tenant, topics)
                for change in changes:
                    yield change
                if len(changes) < PAGE:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(POLL_SECONDS):
                            await news.wait()
        finally:
            del self._followers[news]

    async def aclose(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            self._listener.cancel()
            with suppress(asyncio.CancelledError):
                await self._listener

    async def _read(
        self, at: tuple[str, int], tenant: int | None, topics: list[str] | None
    ) -> tuple[list[Change], tuple[str, int]]:
        """Return a page of changes, and the place up to which there are no others."""
        async with self._database.engine() as connection:
            rows = await connection.fetch(READ, at[0], at[1], tenant, topics, PAGE)
        found = [
            Change(row[1], row[2], row[3], tuple(row[4])) for row in rows if row[1] is not None
        ]
        if len(found) < PAGE:
            return found, max(at, (rows[0][0], 0), key=lambda place: (int(place[0]), place[1]))
        return found, parse_cursor(found[-1].cursor)

    def _tell(self, *_: object) -> None:
        self._tell_now()
        # The row is visible once the oldest transaction of that moment has ended.
        asyncio.get_running_loop().call_later(SETTLE_SECONDS, self._tell_now)

    def _tell_now(self) -> None:
        for news in self._followers:
            news.set()

    async def _listen(self) -> None:
        """Hold a connection that listens, and say every 20 s who watches, for what."""
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
                        self._joined.clear()
                        await _watch(connection, watcher, self._topics())
                        with suppress(TimeoutError):
                            async with asyncio.timeout(WATCH_SECONDS / 3):
                                await self._joined.wait()
            except StateFault:
                await asyncio.sleep(POLL_SECONDS)
            finally:
                if connection is not None:
                    connection.terminate()

    def _topics(self) -> list[str] | None:
        """Return what the followers want together; None: all."""
        topics = set(self._followers.values())
        return None if None in topics else sorted(filter(None, topics))


async def _watch(connection: Connection, watcher: int, topics: list[str] | None) -> None:
    """Say that somebody follows, and what; forget those who stopped."""
    await connection.execute(
        "INSERT INTO watcher (watcher_id, until, topics)"
        " VALUES ($1, clock_timestamp() + make_interval(secs => $2), $3)"
        " ON CONFLICT (watcher_id) DO UPDATE SET until = excluded.until, topics = excluded.topics",
        watcher,
        float(WATCH_SECONDS),
        topics,
    )
    await connection.execute(
        "DELETE FROM watcher WHERE until < clock_timestamp() - interval '1 day'"
    )
