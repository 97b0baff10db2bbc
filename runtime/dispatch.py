"""Dispatch: store an event, ring, and wait for its outcome if asked to."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from runtime.batch import Batcher
from runtime.errors import InvalidEvent, KeyConflict, ServerAway
from runtime.event import Event, validate
from runtime.intake import Intake
from runtime.line import PATIENCE_SECONDS, WAKE_AT_MOST, Line, dsn_of
from runtime.logs import Log
from runtime.numbered import NumberedRegistry
from runtime.placement import neighbours
from runtime.registry import Registry
from runtime.replays import Replay, Replayed, replay
from runtime.replies import Outcome, Replies
from runtime.ringer import Ringer
from runtime.settings import Settings
from runtime.streams import Streams
from state.database import Connection, Database
from state.dispatch import CONFLICT, NEW, REPEATED, Asked, Stored, dispatch
from state.errors import DatabaseAway, RowRejected

log = Log("dispatch")

FLUSH_AT_MOST = 500
KEY_LIMIT = 200

__all__ = ["Dispatcher", "Outcome", "Receipt"]


@dataclass(frozen=True)
class Receipt:
    """An event is stored."""

    id: int
    repeated: bool
    """The key was known: `id` is the earlier invocation."""


class Dispatcher:
    """Stores the events of one process; those that come together share one commit."""

    def __init__(
        self, settings: Settings, numbered: NumberedRegistry, database: Database, replies: Replies
    ) -> None:
        self._settings = settings
        self._numbered = numbered
        self._database = database
        self._replies = replies
        self._batcher: Batcher[Asked, Stored] = Batcher(self._flush, FLUSH_AT_MOST)
        redis_url = settings.redis_url
        elsewhere = neighbours(settings, numbered.registry)
        self.neighbours = set(elsewhere.values())
        """Other hosts that run functions of ours."""
        self._ringer = Ringer(redis_url.get_secret_value() if redis_url else None, elsewhere)
        self._names = {number: name for name, number in numbered.numbers.items()}
        self._line = Line(dsn_of(settings), "nexus dispatch", roles=database.roles)
        self.intake = Intake(settings, numbered, self._ringer, roles=database.roles)
        """Where providers' webhooks are stored."""
        self.streams = Streams(database)
        """What running functions emit."""
        replies.heard = self.streams.look

    @classmethod
    async def open(cls, settings: Settings, registry: Registry) -> "Dispatcher":
        """Connect to Postgres and learn the functions' numbers.

        Raises:
            ConfigurationError: POSTGRES_DSN is not set, or the token for another host.
            ServerAway: Postgres does not answer.
        """
        try:
            database = await Database.open(dsn_of(settings), application="nexus dispatch")
            async with database.engine() as connection:
                numbered = await NumberedRegistry.load(connection, registry)
        except DatabaseAway as error:
            raise ServerAway(f"Postgres does not answer ({error})") from None
        replies = Replies(database)
        await replies.ready()
        return cls(settings, numbered, database, replies)

    async def aclose(self) -> None:
        """Send what is queued, and close."""
        await self.intake.aclose()
        await self.streams.aclose()
        await self._batcher.aclose()
        await self._ringer.aclose()
        await self._replies.aclose()
        self._line.close()
        await self._database.aclose()

    async def dispatch(
        self,
        event: Event,
        *,
        tenant: int = 0,
        key: str | None = None,
        delay_seconds: float = 0,
        at: datetime | None = None,
        wait: bool = False,
        follow: bool = False,
    ) -> Receipt:
        """Store an event; when this returns, it is durable.

        Safe to run twice: with the same `key`, for seven days.

        Args:
            event: what happened; its function is found by its type.
            tenant: the shop; 0 is the installation.
            key: names this event; the same key and event again is the same invocation.
            delay_seconds: do not start before.
            at: the same as a time, with its zone; one that has passed is now.
            wait: `outcome` will be called: have Postgres tell us.
            follow: `streams.following` will be: likewise.

        Raises:
            InvalidEvent: `at` without a zone or beside `delay_seconds`; a priority out of range.
            KeyConflict: the key was used for another function or event.
            ServerAway: Postgres broke off; with a key, repeat; without, it may be stored or not.
        """
        if key is not None and not 0 < len(key) <= KEY_LIMIT:
            raise InvalidEvent(f"a key has 1 to {KEY_LIMIT} characters")
        asked = self._numbered.ask(
            event,
            tenant=tenant,
            delay_seconds=delay_seconds,
            at=at,
            key=key,
            reply_to=self._replies.number if wait or follow else None,
        )
        (stored,) = await self._put([asked], again=key is not None)
        if wait and stored.fate == NEW:
            self._replies.expect(stored.id)
        return Receipt(stored.id, stored.fate == REPEATED)

    async def dispatch_named(self, name: str, data: Any, **options: Any) -> Receipt:
        """Dispatch by the function's name, from plain data; options as `dispatch`.

        Raises:
            UnknownFunction: with the nearest name.
            InvalidEvent: names each wrong field.
        """
        function = self._numbered.registry.named(name)
        return await self.dispatch(validate(function.event_type, data), **options)

    async def dispatch_many(self, events: Sequence[Event], *, tenant: int = 0) -> list[int]:
        """Store many events; each is durable, and events of one lane keep their order."""
        stored = await self._put([self._numbered.ask(event, tenant=tenant) for event in events])
        return [one.id for one in stored]

    def ring(self, name: str, count: int) -> None:
        """Ring for work that another host has stored. Nobody waits for it."""
        self._ringer.ring(name, count)

    async def outcome(self, invocation_id: int, timeout_seconds: float) -> Outcome | None:
        """Return how an invocation ended; None: not within that time.

        Raises:
            ServerAway: Postgres does not answer.
        """
        try:
            return await self._replies.outcome(invocation_id, timeout_seconds)
        except DatabaseAway as error:
            raise ServerAway(f"Postgres does not answer ({error})") from None

    async def replay(self, number: int, how: Replay, *, actor: str) -> Replayed:
        """Run an invocation again, in another way; see `runtime.replays`."""
        return await replay(self._database, self._numbered, number, how, actor=actor)

    async def _put(self, asked: Sequence[Asked], *, again: bool = False) -> list[Stored]:
        """Store; `again` allows to repeat when nobody knows whether it happened."""
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE_SECONDS
        while True:
            try:
                return await self._put_once(asked)
            except DatabaseAway as error:
                if not again or loop.time() >= until:
                    raise ServerAway(
                        f"Postgres does not answer ({error}); unless the request had a key,"
                        " look whether it was stored before you repeat it"
                    ) from None

    async def _put_once(self, asked: Sequence[Asked]) -> list[Stored]:
        try:
            stored = await asyncio.gather(*[self._batcher.put(one) for one in asked])
        except RowRejected as error:
            raise InvalidEvent(f"Postgres cannot hold this event ({error})") from None
        for one in stored:
            if one.fate == CONFLICT:
                raise KeyConflict(
                    "this key was used in the last seven days for another function or event"
                )
        return stored

    async def _flush(self, batch: list[Asked]) -> Sequence[Stored | Exception]:
        connection = await self._line.connection()
        wake = self._settings.notify_wake and len(batch) <= WAKE_AT_MOST
        try:
            stored = await dispatch(connection, batch, wake=wake)
        except RowRejected:
            if len(batch) == 1:
                raise
            # One bad event must not take the others with it: store them one by one.
            return [await self._alone(connection, one) for one in batch]
        for number, count in Counter(one.fn for one in batch if one.due_in() <= 0).items():
            self._ringer.ring(self._names[number], count, told=wake)
        return stored

    async def _alone(self, connection: Connection, one: Asked) -> Stored | Exception:
        try:
            return (await dispatch(connection, [one]))[0]
        except RowRejected as error:
            return error
