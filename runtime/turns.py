"""The turn loops: two connections, so that Postgres works while Python works.

A turn stores everything that ended since the last one and claims the next, in one round trip and
one commit. Only the first loop answers bells; the second one helps while there is more than one
turn can take, since two loops racing for one row double the idle latency.
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
from state.work import Claimed, Finish, Turn, Wanted, turn

log = Log("turns")

LOOPS = 2
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
        self._idle = [asyncio.Event() for _ in range(LOOPS)]
        self._busy = [False] * LOOPS
        self._quiet = asyncio.Event()
        self._repairing = asyncio.Lock()
        self._connections: list[Connection] = []
        self._broken = True
        self._first = True
        pool.wake = self._wake

    async def run(self) -> None:
        """Turn until the pool is drained and empty.

        Raises:
            LeaseLost: we were declared dead.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for index in range(LOOPS):
                    group.create_task(self._loop(index))
        except* WorkerEnded:
            raise LeaseLost from None
        finally:
            for connection in self._connections:
                connection.terminate()

    def _wake(self) -> None:
        """Wake an idle loop, the first one if it is."""
        for index, idle in enumerate(self._idle):
            if not self._busy[index]:
                idle.set()
                if index == 0 or not self._pool.draining:
                    return

    async def _loop(self, index: int) -> None:
        while not (self._pool.draining and self._pool.empty()):
            if self._broken:
                await self._repair()
                continue
            finished, wanted = self._pool.take(first=index == 0)
            if not finished and not wanted:
                self._idle[index].clear()
                await self._idle[index].wait()
                continue
            self._busy[index] = True
            self._quiet.clear()
            try:
                turned = await turn(
                    self._connections[index],
                    self._worker,
                    finished=finished,
                    wanted=wanted,
                    alone=self._alone,
                )
            except DatabaseAway:
                self._pool.give_back(finished, wanted)
                self._broken = True
            except (RowRejected, StatementFailed, Deadlock) as error:
                if finished and isinstance(error, RowRejected):
                    self._pool.give_back([], wanted)
                    self._pool.reject(finished, str(error))
                    continue
                log.error("a turn failed; trying again", error=str(error))
                self._pool.give_back(finished, wanted)
                await asyncio.sleep(1)
            else:
                self._take_in(turned, finished, wanted)
            finally:
                self._busy[index] = False
                if not any(self._busy):
                    self._quiet.set()
        for idle in self._idle:
            idle.set()  # the others see the end too

    def _take_in(self, turned: Turn, finished: list[Finish], wanted: list[Wanted]) -> None:
        if turned.claimed:
            self._claimed(turned.claimed)
        self._pool.taken(turned, finished, wanted)

    async def _repair(self) -> None:
        """Open the connections again and make tables and process agree.

        Nothing is claimed meanwhile: a claim that was lost with the server could otherwise be
        given out again under the same epoch.
        """
        async with self._repairing:
            while any(self._busy):
                await self._quiet.wait()
            told = False
            while self._broken and not (self._pool.draining and self._pool.empty()):
                try:
                    await self._reconnect()
                    self._broken = False
                except DatabaseAway as error:
                    if not told:
                        log.warning("Postgres does not answer; trying again", error=str(error))
                    told = True
                    await asyncio.sleep(RETRY_SECONDS)
            if told:
                log.info("Postgres answers again")
        self._pool.look_at_all()

    async def _reconnect(self) -> None:
        for connection in self._connections:
            connection.terminate()
        self._connections = []
        for _ in range(LOOPS):  # one by one: what is open is closed whatever happens to the next
            self._connections.append(
                await connect(
                    self._dsn, application="nexus worker", role=self._role, settings=PLANNER
                )
            )
        first = self._connections[0]
        with translated():
            await first.add_listener("nexus_wake", lambda *given: self._told(str(given[-1])))
        self._told(LISTENING)
        if not self._first:
            self._pool.lose(await reconcile(first, self._worker, self._pool.held()))
        nothing = [Wanted(fn, 0, True, -1) for fn in list(self._pool.served)[:1]]
        for connection in self._connections:  # loads the plans; else the first real one waits
            for wanted in ([], nothing):  # a turn, and a look
                await turn(connection, self._worker, finished=[], wanted=wanted, alone=self._alone)
        self._first = False
