"""A connection to Postgres of one's own, opened again when it broke."""

import asyncio

from runtime.errors import ConfigurationError
from runtime.settings import Settings
from state.database import ENGINE, PLANNER, Connection, connect
from state.errors import DatabaseAway

PATIENCE_SECONDS = 5.0
"""How long one waits for a Postgres that is restarting. Nothing was sent yet."""
AGAIN_SECONDS = 0.1
WAKE_AT_MOST = 2
"""Larger flushes ring in Redis alone: a NOTIFY serialises commits."""


class Line:
    """For statements that are sent one after another, by one batcher."""

    def __init__(self, dsn: str, application: str, *, roles: bool) -> None:
        self._dsn, self._application = dsn, application
        self._role = ENGINE if roles else None
        self._connection: Connection | None = None

    async def connection(self) -> Connection:
        """Return the connection; a broken one is opened again, with patience.

        Raises:
            DatabaseAway: nobody answered for five seconds.
        """
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE_SECONDS
        while True:
            try:
                self._connection = await connect(
                    self._dsn, application=self._application, role=self._role, settings=PLANNER
                )
                return self._connection
            except DatabaseAway:
                if loop.time() >= until:
                    raise
                await asyncio.sleep(AGAIN_SECONDS)

    def close(self) -> None:
        """Break off."""
        if self._connection is not None:
            self._connection.terminate()


def dsn_of(settings: Settings) -> str:
    """Return the address of Postgres.

    Raises:
        ConfigurationError: there is none.
    """
    if settings.postgres_dsn is None:
        raise ConfigurationError(
            "POSTGRES_DSN is not set and no local Nexus runs here; start one with `./nexus up`"
        )
    return settings.postgres_dsn.get_secret_value()
