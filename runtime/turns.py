"""The turn loop: on one connection, so that Postgres works while Python works.

A turn stores everything that ended since the last one and claims the next, in one round trip and
one commit. While it is on its way, what the one before claimed runs: one half of the places is
always with Postgres, and the other half here. A second loop was slower in lanes: the halves ended
together now and then, went out as one, and from then on each side waited for the other.
"""

import asyncio
from collections.abc import Callable

from runtime.errors import LeaseLost
from runtime.logs import Log
from runtime.pool import Pool
from state.database import ENGINE, PLANNER, Connection, connect
from state.errors import (
    DatabaseAway,
    Deadlock,
    RowRejected,
    StatementFailed,
    WorkerEnded,
    translated,
)
from state.leases import reconcile
from state.work import Claimed, Wanted, turn

log = Log("turns")

RETRY_SECONDS = 0.3
LISTENING = "listening"
"""Told when a connection begins to listen: what was said before has gone by."""


class Turns:
    """Moves work between Postgres and the pool."""

    def __init__(
        self,
        pool: Pool,
        dsn: str,
        worker: int,
        *,
        roles: bool,
        alone: bool,
        told: Callable[[str], None],
        claimed: Callable[[list[Claimed]], None],
    ) -> None:
        """Create it.

        Args:
            pool: what runs here.
            dsn: of Postgres.
            worker: our number.
            roles: whether to take on the engine's role.
            alone: claim only suspects of a crash.
            told: called with the payload of each NOTIFY on `nexus_wake`, and with LISTENING.
            claimed: called with what a turn claimed.
        """
        self._pool, self._dsn, self._worker = pool, dsn, worker
        self._role = ENGINE if roles else None
        self._alone, self._told, self._claimed = alone, told, claimed
        self._something = asyncio.Event()
        """Set when there may be something to do."""
        self._connection: Connection | None = None
        self._first = True
        pool.wake = self._something.set

    async def run(self) -> None:
        """Turn until the pool is drained and empty.

        Raises:
            LeaseLost: we were declared dead.
        """
        try:
            while not self._over():
                if self._connection is None:
                    await self._connect()
                else:
                    await self._turn(self._connection)
        except WorkerEnded:
            raise LeaseLost from None
        finally:
            self._disconnect()

    def _over(self) -> bool:
        return self._pool.draining and self._pool.empty()

    async def _turn(self, connection: Connection) -> None:
        finished, wanted = self._pool.take()
        if not finished and not wanted:
            self._something.clear()
            await self._something.wait()
            return
        try:
            turned = await turn(
                connection, self._worker, finished=finished, wanted=wanted, alone=self._alone
            )
        except DatabaseAway:
            self._pool.give_back(wanted)
            self._disconnect()
        except (RowRejected, StatementFailed, Deadlock) as error:
            if finished and isinstance(error, RowRejected):
                self._pool.reject(wanted, str(error))
                return
            log.error("a turn failed; trying again", error=str(error))
            self._pool.give_back(wanted)
            await asyncio.sleep(1)
        else:
            if turned.claimed:
                self._claimed(turned.claimed)
            self._pool.taken(turned, wanted)

    async def _connect(self) -> None:
        """Open the connection, again and again, and make tables and process agree.

        Nothing is claimed meanwhile: a claim that was lost with the server could otherwise be
        given out again under the same epoch.
        """
        told = False
        while self._connection is None and not self._over():
            try:
                self._connection = await self._reconnected()
            except DatabaseAway as error:
                if not told:
                    log.warning("Postgres does not answer; trying again", error=str(error))
                told = True
                await asyncio.sleep(RETRY_SECONDS)
        if told:
            log.info("Postgres answers again")
        self._pool.look_at_all()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _reconnected(self) -> Connection:
        connection = await connect(
            self._dsn, application="nexus worker", role=self._role, settings=PLANNER
        )
        try:
            await self._begin(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _begin(self, connection: Connection) -> None:
        with translated():
            await connection.add_listener("nexus_wake", lambda *given: self._told(str(given[-1])))
        self._told(LISTENING)
        if not self._first:
            self._pool.lose(await reconcile(connection, self._worker, self._pool.held()))
        nothing = [Wanted(fn, 0, True, -1) for fn in list(self._pool.served)[:1]]
        for wanted in ([], nothing, nothing * 2):  # loads all plans; else the first turn waits
            await turn(connection, self._worker, finished=[], wanted=wanted, alone=self._alone)
        self._first = False
