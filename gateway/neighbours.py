"""Know since when other hosts do not answer, and tell people.

Nothing is lost meanwhile: the work of their functions waits in Postgres. But it does wait, and
nobody here would see why.
"""

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime

from runtime.logs import Log
from runtime.neighbour import Neighbour
from state.database import Database
from state.errors import StateFault
from state.hosts import settle, tell_away

log = Log("neighbour")

KNOCK_SECONDS = 5.0
ALERT_SECONDS = 30.0
"""A host that is being restarted is back before that."""


class Neighbours:
    """Knocks at every other host; one per gateway process. Without such hosts it does nothing."""

    def __init__(
        self,
        hosts: Collection[Neighbour],
        database: Database,
        knock_seconds: float = KNOCK_SECONDS,
        alert_seconds: float = ALERT_SECONDS,
    ) -> None:
        self._hosts, self._database = hosts, database
        self._knock_seconds, self._alert_seconds = knock_seconds, alert_seconds
        self._told: dict[Neighbour, bool] = {}
        """Whether people were told that it is away. Not in it: an older alert may stand."""

    async def run(self) -> None:
        """Knock until cancelled. Nothing that goes wrong ends it."""
        while self._hosts:
            for host in self._hosts:
                host.knock()
            await asyncio.sleep(self._knock_seconds)
            try:
                await self._tell()
            except StateFault:
                pass  # told at the next knock
            except Exception as error:
                log.error("nobody is told whether other hosts answer", trace=error)

    async def _tell(self) -> None:
        for host in self._hosts:
            away = self._away(host)
            if away is None or self._told.get(host) == away:
                continue
            async with self._database.engine() as connection:
                if away:
                    await tell_away(
                        connection, {name: _said(name, host) for name in host.functions}
                    )
                else:
                    await settle(connection, list(host.functions))
            self._told[host] = away

    def _away(self, host: Neighbour) -> bool | None:
        """Say whether people should see it as away; None: it is too early to say."""
        if host.away_since is None:
            return False if host.answered else None
        gone_seconds = (datetime.now(UTC) - host.away_since).total_seconds()
        return True if gone_seconds >= self._alert_seconds else None


def _said(function: str, host: Neighbour) -> str:
    return (
        f"{function} waits: the host that runs it, {host.url}, {host.problem},"
        f" since {host.away_since:%Y-%m-%d %H:%M:%S} UTC. Nothing is lost; start that host again,"
        f" or unset {host.functions[function]} here to run the function on this one."
    )
