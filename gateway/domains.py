"""Shops' domains in this process's memory: a stranger's handshake costs no question to Postgres."""

import asyncio
from collections.abc import Mapping

from state.changes import ChangeFeed
from state.database import Database
from state.domains import Domain, domains
from state.errors import StateFault
from state.rules.domain_names import WILDCARD, above

AGAIN_SECONDS = 1.0
TOPIC = "domain"


class Domains:
    """Every shop's domains; follows the change feed."""

    def __init__(self) -> None:
        self._by_name: Mapping[str, Domain] | None = None
        self._following: asyncio.Task[None] | None = None
        self._reading = asyncio.Lock()
        self.news = asyncio.Event()
        """Set whenever they were read because one changed."""

    @property
    def names(self) -> frozenset[str] | None:
        """All of them; None: they were not read yet, so nobody can be judged."""
        return None if self._by_name is None else frozenset(self._by_name)

    @property
    def waiting(self) -> list[str]:
        """Those that nobody has seen in Caddy yet."""
        return [one.name for one in (self._by_name or {}).values() if one.applied_at is None]

    def cover(self, host: str) -> bool:
        """Say whether a host, in small letters, is one of them, or right below a wildcard."""
        found = self._by_name or {}
        return host in found or f"{WILDCARD}{above(host)}" in found

    def start(self, database: Database, feed: ChangeFeed) -> None:
        """Read them, and go on reading whenever one changes; in the background."""
        self._following = asyncio.create_task(self._follow(database, feed))

    async def aclose(self) -> None:
        """Stop following."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])

    async def read(self, database: Database) -> None:
        """Read them now.

        Raises:
            StateFault: Postgres does not answer; what was read before stays.
        """
        async with self._reading:  # an older reading must not end after a newer one
            async with database.engine() as connection:
                found = await domains(connection)
            self._by_name = {one.name: one for one in found}

    async def _follow(self, database: Database, feed: ChangeFeed) -> None:
        cursor = await self._read_surely(database, feed)
        async for _ in feed.follow(cursor, topic=TOPIC):
            await self._read_surely(database, feed)
            self.news.set()

    async def _read_surely(self, database: Database, feed: ChangeFeed) -> str:
        """Read them, however often it takes; return a place in the feed from before that."""
        while True:
            try:
                cursor = await feed.head()
                await self.read(database)
            except StateFault:
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                return cursor
