"""Follow what invocations emit: one connection and one reader for all followers of a process.

Postgres tells by NOTIFY which streams have news, and a look each second covers a lost one. What is
new for any number of followers is read in one statement; after it the reader rests for a few times
as long as that took, so many streams make large reads, not many.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

from runtime.follower import CHUNKS_AT_ONCE, Follower
from runtime.logs import Log
from state.chunks import Position, Row, read_chunks
from state.database import ENGINE, PLANNER, Connection, Database, connect
from state.errors import StateFault, translated

log = Log("streams")

LOOK_SECONDS = 1.0
REST_TIMES = 4
FOLLOWERS_AT_ONCE = 25
"""So many are served between two looks at other work of this process."""


class Streams:
    """All followers of this process. Nothing is open before the first one comes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._followers: defaultdict[int, set[Follower]] = defaultdict(set)
        self._reader: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    @property
    def count(self) -> int:
        """How many follow now."""
        return sum(map(len, self._followers.values()))

    @asynccontextmanager
    async def following(
        self, invocation: int, after: tuple[int, int] = (0, 0)
    ) -> AsyncIterator[Follower]:
        """Follow an invocation from a place on; from the beginning of its newest attempt."""
        follower = Follower(invocation, *after, self._wake)
        self._followers[invocation].add(follower)
        if self._reader is None:
            self._reader = asyncio.create_task(self._read())
        self._wake.set()
        try:
            yield follower
        finally:
            self._followers[invocation].discard(follower)
            if not self._followers[invocation]:
                del self._followers[invocation]

    def look(self, invocations: Iterable[int]) -> None:
        """Look at these: something was stored."""
        for invocation in invocations:
            for follower in self._followers.get(invocation, ()):
                follower.due = True
                self._wake.set()

    def look_up(self) -> None:
        """Have every follower look up from waiting, for instance because the process stops."""
        for follower in self._all():
            follower.news.set()

    async def aclose(self) -> None:
        """Stop reading."""
        if self._reader is not None:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader

    def _all(self) -> list[Follower]:
        return [each for some in self._followers.values() for each in some]

    async def _read(self) -> None:
        """Hold the connection that listens and reads; a broken one is opened again."""
        while True:
            connection: Connection | None = None
            try:
                connection = await connect(
                    self._database.dsn,
                    application="nexus streams",
                    role=ENGINE if self._database.roles else None,
                    settings=PLANNER,
                )
                with translated():
                    await connection.add_listener("nexus_stream", self._heard)
                for follower in self._all():
                    follower.due = True
                while True:
                    began = time.monotonic()
                    await self._look(connection)
                    await asyncio.sleep((time.monotonic() - began) * REST_TIMES)
                    await self._called()
            except StateFault as error:
                log.debug("streams stand still", error=type(error).__name__)
            finally:
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(LOOK_SECONDS)

    async def _called(self) -> None:
        """Return when there may be something to read."""
        try:
            async with asyncio.timeout(LOOK_SECONDS if self._followers else None):
                await self._wake.wait()
        except TimeoutError:
            self.look(list(self._followers))
        self._wake.clear()

    async def _look(self, connection: Connection) -> None:
        due = [each for each in self._all() if each.due and not each.told]
        for start in range(0, len(due), FOLLOWERS_AT_ONCE):
            some = due[start : start + FOLLOWERS_AT_ONCE]
            for follower in some:
                follower.due = False  # what is told from now on is read next time
            places = [Position(each.invocation, each.epoch, each.place) for each in some]
            found: list[list[Row]] = [[] for _ in some]
            for row in await read_chunks(connection, places, CHUNKS_AT_ONCE):
                found[row.reader].append(row)
            for follower, rows in zip(some, found, strict=True):
                follower.give(rows)

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        self.look(int(part) for part in str(payload).split(","))
