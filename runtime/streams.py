"""Follow what invocations emit: one connection and one reader for all followers of a process.

Postgres tells by NOTIFY which streams have news, and a look each second covers a lost one. What is
new for any number of followers is read in one statement; after it the reader rests for a few times
as long as that took, so many streams make large reads, not many.
"""

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TypeAlias

from runtime.logs import Log
from runtime.replies import STATES
from state.chunks import Position, Row, read_chunks
from state.database import ENGINE, PLANNER, Connection, Database, connect
from state.errors import StateFault, translated

log = Log("streams")

LOOK_SECONDS = 1.0
REST_TIMES = 4
FOLLOWERS_AT_ONCE = 100
CHUNKS_AT_ONCE = 100
"""Of one stream in one read; nothing more is read before its follower has taken these."""

CURSOR = re.compile(r"(\d{1,18})\.(\d{1,9})")


@dataclass(frozen=True)
class Emitted:
    """A chunk."""

    cursor: str
    """Follow from here to get what came after."""
    data: str
    """JSON."""


@dataclass(frozen=True)
class Restarted:
    """Another attempt has begun to emit: what came before does not count any more."""

    cursor: str


@dataclass(frozen=True)
class Ended:
    """The invocation has ended; nothing comes after this."""

    cursor: str
    state: str
    """done, dead or cancelled."""
    result: str | None
    """JSON of a done one."""
    error: str | None
    """The reason of the others."""


Told: TypeAlias = Emitted | Restarted | Ended


def parse_cursor(text: str) -> tuple[int, int]:
    """Return epoch and place.

    Raises:
        ValueError: it is no cursor.
    """
    found = CURSOR.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is no place in a stream")
    return int(found[1]), int(found[2])


class Follower:
    """Somebody who follows one invocation."""

    def __init__(self, streams: "Streams", invocation: int, epoch: int, place: int) -> None:
        self.invocation, self.epoch, self.place = invocation, epoch, place
        self.due = True
        """Whether there may be more than was read."""
        self.told: list[Told] = []
        self.news = asyncio.Event()
        """Set when there is something to take, or when somebody wants the follower to look up."""
        self._streams = streams

    def take(self) -> list[Told]:
        """Return what came since the last time, in order; may be empty."""
        told, self.told = self.told, []
        self.news.clear()
        if told and self.due:
            self._streams.wake.set()
        return told

    def give(self, rows: list[Row]) -> None:
        """Take in what was read."""
        count = 0
        for row in rows:
            if row.state is None:
                self._step(row.epoch)
                self.place = row.place or 0
                self.told.append(Emitted(f"{self.epoch}.{self.place}", row.data or "null"))
                count += 1
            elif count < CHUNKS_AT_ONCE:  # else there may be more before the end
                good = row.state == b"d"
                if good and row.epoch > self.epoch:  # by an attempt that emitted nothing
                    self._step(row.epoch)
                end = Ended(
                    f"{self.epoch}.{self.place}",
                    STATES[row.state],
                    row.data if good else None,
                    None if good else row.data,
                )
                self.told.append(end)
        self.due |= count == CHUNKS_AT_ONCE
        if self.told:
            self.news.set()

    def _step(self, epoch: int) -> None:
        """Go on to the attempt of this epoch."""
        if epoch != self.epoch:
            if self.place:
                self.told.append(Restarted(f"{epoch}.0"))
            self.epoch, self.place = epoch, 0


class Streams:
    """All followers of this process. Nothing is open before the first one comes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._followers: defaultdict[int, set[Follower]] = defaultdict(set)
        self._reader: asyncio.Task[None] | None = None
        self.wake = asyncio.Event()

    @property
    def count(self) -> int:
        """How many follow now."""
        return sum(map(len, self._followers.values()))

    @asynccontextmanager
    async def following(
        self, invocation: int, after: tuple[int, int] = (0, 0)
    ) -> AsyncIterator[Follower]:
        """Follow an invocation from a place on; from the beginning of its newest attempt."""
        follower = Follower(self, invocation, *after)
        self._followers[invocation].add(follower)
        if self._reader is None:
            self._reader = asyncio.create_task(self._read())
        self.wake.set()
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
                self.wake.set()

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
                await self.wake.wait()
        except TimeoutError:
            self.look(list(self._followers))
        self.wake.clear()

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
