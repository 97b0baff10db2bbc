"""Wait for outcomes: Postgres tells by NOTIFY, and a look each second covers a lost one.

Who repeats a key joins the live run, and is told like the first one.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from runtime.batch import Batcher
from runtime.logs import Log
from state.database import Connection, Database, connect
from state.errors import DatabaseAway, StateFault, translated

log = Log("replies")

LOOK_SECONDS = 1.0
SECOND_LOOK_SECONDS = 0.05
EARLY_AT_MOST = 10_000
OUTCOMES = "SELECT id, state, result FROM outcome WHERE id = ANY ($1::bigint[])"
STATES = {b"d": "done", b"x": "dead", b"c": "cancelled"}


@dataclass(frozen=True)
class Outcome:
    """How an invocation ended."""

    id: int
    state: str
    """done, dead or cancelled."""
    result: str | None
    """JSON text of a done one."""
    error: str | None
    """The reason of the others."""


class Replies:
    """Outcomes that callers of this process wait for."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.number = random.randrange(1, 2**31)  # noqa: S311 - a name, not a secret
        """Put into `reply_to` of invocations that somebody here waits for."""
        self.heard: Callable[[Iterable[int]], None] = lambda _: None
        """Called with what has ended, for those who wait elsewhere."""
        self._waiting: dict[int, list[asyncio.Future[None]]] = {}
        self._early: dict[int, None] = {}
        """Ended before anybody waited, oldest first."""
        self._expected: set[int] = set()
        self._outcomes: Batcher[int, Outcome | None] = Batcher(self._fetch, 500)
        self._connection: Connection | None = None
        self._listener = asyncio.create_task(self._listen())
        self._listening = asyncio.Event()

    def expect(self, invocation: int) -> None:
        """Note that this one was stored with our number: Postgres will tell us of its end."""
        self._expected.add(invocation)

    async def ready(self) -> None:
        """Return when told of replies, or when Postgres is not there to tell."""
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                await self._listening.wait()

    async def aclose(self) -> None:
        """Stop listening."""
        self._listener.cancel()
        with suppress(asyncio.CancelledError):
            await self._listener

    async def outcome(self, invocation: int, timeout_seconds: float) -> Outcome | None:
        """Return how it ended; None: not within that time.

        Raises:
            DatabaseAway: Postgres did not answer the last look.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_seconds
        told = loop.create_future()
        self._waiting.setdefault(invocation, []).append(told)
        fault: DatabaseAway | None = None
        # Look at once, unless Postgres is going to tell us and has not yet.
        look = invocation not in self._expected or invocation in self._early
        # Whoever joins while the end is being committed is neither told of it nor sees it yet.
        pause = LOOK_SECONDS if invocation in self._expected else SECOND_LOOK_SECONDS
        self._expected.discard(invocation)
        self._early.pop(invocation, None)
        try:
            while True:
                if not look:
                    left = min(pause, until - loop.time())
                    pause = LOOK_SECONDS
                    with suppress(TimeoutError):
                        async with asyncio.timeout(max(left, 0)):
                            await asyncio.shield(told)
                look = False
                try:
                    found, fault = await self._outcomes.put(invocation), None
                except DatabaseAway as error:
                    found, fault = None, error
                if found is not None:
                    return found
                if told.done():  # told, yet not there: replayed meanwhile
                    told = loop.create_future()
                    self._waiting.setdefault(invocation, []).append(told)
                if loop.time() >= until:
                    if fault is not None:
                        raise fault
                    return None
        finally:
            self._forget(invocation, told)

    async def now(self, invocation: int) -> Outcome | None:
        """Return how it ended; None: it has not."""
        return await self._outcomes.put(invocation)

    def _forget(self, invocation: int, told: "asyncio.Future[None]") -> None:
        others = self._waiting.get(invocation, [])
        if told in others:
            others.remove(told)
        if not others:
            self._waiting.pop(invocation, None)

    def _told(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        ended = [int(part) for part in str(payload).split(",")]
        self.heard(ended)
        for number in ended:
            futures = self._waiting.pop(number, None)
            if futures is None:
                self._early[number] = None  # its dispatch has not come back yet
                if len(self._early) > EARLY_AT_MOST:
                    del self._early[next(iter(self._early))]
                continue
            for future in futures:
                if not future.done():
                    future.set_result(None)

    async def _fetch(self, ids: list[int]) -> Sequence[Outcome | None]:
        connection = self._connection
        if connection is not None and not connection.is_closed():
            with translated():
                rows = await connection.fetch(OUTCOMES, ids)
        else:
            async with self._database.engine() as other:
                rows = await other.fetch(OUTCOMES, ids)
        found = {
            row["id"]: Outcome(
                row["id"],
                STATES[row["state"]],
                row["result"] if row["state"] == b"d" else None,
                None if row["state"] == b"d" else row["result"],
            )
            for row in rows
        }
        return [found.get(one) for one in ids]

    async def _listen(self) -> None:
        """Hold the connection that listens; a broken one is opened again."""
        role = "nexus_engine" if self._database.roles else None
        while True:
            connection: Connection | None = None
            lost = asyncio.Event()
            try:
                connection = await connect(
                    self._database.dsn, application="nexus replies", role=role
                )
                with translated():
                    connection.add_termination_listener(lambda *_: lost.set())  # noqa: B023
                    await connection.add_listener(f"nexus_reply_{self.number}", self._told)
                self._connection = connection
                self._listening.set()
                await lost.wait()
            except StateFault as error:
                log.debug("not told of replies", error=type(error).__name__)
            finally:
                self._listening.clear()
                self._connection = None
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(LOOK_SECONDS)
