"""Give every function as many worker processes as it needs, within what it declares.

The worker of all functions counts as one process of each; what is needed beyond it gets workers
of that function alone.
"""

import asyncio
import time
from collections.abc import Callable, Collection

from runtime.host.fleet import Fleet
from runtime.scale import Decision, Scaler
from state.database import Database
from state.errors import DatabaseAway, StateFault
from state.scaling import demands

LOOK_SECONDS = 2.0


class Scaling:
    """Looks every two seconds, and changes the fleet."""

    def __init__(
        self,
        dsn: str,
        fleet: Fleet,
        stable_seconds: float,
        changed: Callable[[], None],
        elsewhere: Collection[str] = (),
    ) -> None:
        """Create it; functions `elsewhere` have their processes on another host."""
        self._dsn, self._fleet, self._changed = dsn, fleet, changed
        self._elsewhere = elsewhere
        self._scaler = Scaler(stable_seconds)
        self._look_seconds = min(LOOK_SECONDS, stable_seconds / 10)
        self.decisions: list[Decision] = []
        """What was decided last."""

    async def run(self) -> None:
        """Look until cancelled. While Postgres is away, everything stays as it is."""
        database: Database | None = None
        try:
            while True:
                try:
                    if database is None:
                        database = await Database.open(self._dsn, application="nexus up", maximum=1)
                    await self._look(database)
                except (DatabaseAway, StateFault):
                    pass  # workers tell of it; who runs goes on
                await asyncio.sleep(self._look_seconds)
        finally:
            if database is not None:
                await database.aclose()

    async def _look(self, database: Database) -> None:
        async with database.engine() as connection:
            found = [
                each for each in await demands(connection) if each.function not in self._elsewhere
            ]
        current = {each.function: 1 + self._fleet.count(each.function) for each in found}
        decisions = self._scaler.decide(found, time.monotonic(), current)
        if decisions != self.decisions:
            self.decisions = decisions
            self._changed()
        for decision in self.decisions:
            wanted = max(0, decision.processes - 1)
            if wanted != self._fleet.count(decision.function):
                await self._fleet.set(decision.function, wanted, decision.reason)
