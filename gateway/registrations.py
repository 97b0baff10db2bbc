"""App registrations in this process's memory: a webhook is judged without asking the database."""

import asyncio
from collections.abc import Mapping

from runtime.keys import ring_of
from runtime.logs import Log
from runtime.settings import Settings
from state.apps import OpenedApp, opened_apps
from state.changes import ChangeFeed
from state.database import Database
from state.errors import StateFault
from state.keyring import KeyRing

log = Log("gateway")

AGAIN_SECONDS = 1.0
TOPIC = "app"


class Registrations:
    """Every registration with its secrets; follows the change feed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._by_name: Mapping[str, OpenedApp] | None = None
        self._following: asyncio.Task[None] | None = None

    @property
    def known(self) -> bool:
        """Whether they were read at all: before that nobody can be judged."""
        return self._by_name is not None

    def named(self, provider: str, name: str) -> OpenedApp | None:
        """Return a registration with that provider; None: there is none."""
        found = (self._by_name or {}).get(name)
        return found if found is not None and found.app.provider == provider else None

    async def start(self, database: Database, feed: ChangeFeed) -> None:
        """Read them, and go on reading whenever one changes."""
        cursor = await feed.head()
        await self._read(database)
        self._following = asyncio.create_task(self._follow(database, feed, cursor))

    async def aclose(self) -> None:
        """Stop following."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])

    async def _follow(self, database: Database, feed: ChangeFeed, cursor: str) -> None:
        async for _ in feed.follow(cursor, topic=TOPIC):
            while True:
                try:
                    await self._read(database)
                    break
                except StateFault:
                    await asyncio.sleep(AGAIN_SECONDS)

    async def _read(self, database: Database) -> None:
        async with database.engine() as connection:
            found = await opened_apps(connection, self._ring())
        for one in found:
            if one.sealed:
                log.warning("a registration is sealed", app=one.app.name, why=one.sealed)
        self._by_name = {one.app.name: one for one in found}

    def _ring(self) -> KeyRing | None:
        return ring_of(self._settings) if self._settings.encryption_key else None
