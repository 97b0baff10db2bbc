"""One reader of the change feed for all live streams of this process.

It runs while somebody looks. A stream asks "did anything happen after this cursor", and is woken.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from gateway.services import Services
from runtime.logs import Log, where
from state.changes import parse_cursor

log = Log("live")

STREAMS_AT_MOST = 100
AGAIN_SECONDS = 1.0

Position = tuple[int, int]


class Watch:
    """Follows the feed for the streams of this process."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._news: set[asyncio.Event] = set()
        self._reader: asyncio.Task[None] | None = None
        self._from: Position = (0, 0)
        self.cursor = ""
        """Of the newest change that was read."""
        self._starting = asyncio.Lock()

    @property
    def streams(self) -> int:
        """How many look now."""
        return len(self._news)

    @property
    def full(self) -> bool:
        """Whether this process has as many as it should carry."""
        return len(self._news) >= STREAMS_AT_MOST

    @asynccontextmanager
    async def watching(self, cursor: str) -> AsyncIterator[asyncio.Event]:
        """Give an event that is set whenever something happened after the cursor.

        Raises:
            ValueError: the cursor is none.
            DatabaseAway: Postgres does not answer.
        """
        position = _position(cursor)
        async with self._starting:
            if self._reader is None:
                head = await self._services.opened.feed.head()
                self._from, self.cursor = _position(head), head
                self._reader = asyncio.create_task(self._read(head))
        news = asyncio.Event()
        if position < self._from or position < _position(self.cursor):
            news.set()  # something was missed, or may have been
        self._news.add(news)
        try:
            yield news
        finally:
            self._news.discard(news)
            if not self._news and self._reader is not None:
                self._reader.cancel()
                self._reader = None

    async def aclose(self) -> None:
        """Stop reading."""
        if self._reader is not None:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader

    async def _read(self, cursor: str) -> None:
        while True:
            try:
                async for change in self._services.opened.feed.follow(cursor):
                    cursor = self.cursor = change.cursor
                    for news in self._news:
                        news.set()
            except Exception as error:  # one bad read must not end everybody's stream
                log.warning("change feed interrupted", error=where(error))
            await asyncio.sleep(AGAIN_SECONDS)


def _position(cursor: str) -> Position:
    transaction, number = parse_cursor(cursor)
    return int(transaction), number
