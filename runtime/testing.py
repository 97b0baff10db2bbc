"""Call a function in a test of its own, without servers: its context records what it asks for.

    trial = Trial(hello)
    assert await trial.run(Hello(name="Ana")) == "Hello, Ana!"
    assert trial.dispatched == []

Steps are made and remembered, so a second `run` of the same trial is a repeated attempt. What
needs the database (`ctx.transaction()`) is tested with a real worker instead.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from runtime.context import Context, Shop, Transaction
from runtime.errors import StepError
from runtime.event import Event, encode, validate
from runtime.function import Function
from runtime.logs import Log
from runtime.settings import Settings, load_settings
from state.keyring import SealedSecret

NEEDS_DATABASE = "this needs a database: test this function with a real worker"


class Trial:
    """One invocation of a function, attempt after attempt."""

    def __init__(
        self,
        function: Function[Any],
        *,
        shop: Shop | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.dispatched: list[Event] = []
        """What the last attempt dispatched; empty when it failed."""
        self.steps: dict[str, Any] = {}
        """Answers of steps by name; put one in beforehand to have it found."""
        self._function = function
        self._shop = shop
        self._settings = settings or load_settings({})
        self._attempt = 0

    async def run(
        self, event: Event, *, merged: Sequence[Event] = (), inbox: Sequence[Event] = ()
    ) -> Any:
        """Run one attempt and return its result as JSON gives it back.

        Args:
            event: what happened.
            merged: `ctx.merged`.
            inbox: what `ctx.inbox` gives; its iterator ends after them.

        Raises:
            Exception: whatever the function raises.
        """
        self._attempt += 1
        asked = _Asked(self.steps, self._settings, inbox)
        timeout = self._function.policy.timeout
        context = Context(
            invocation="inv_0000000000000",
            function=self._function.name,
            attempt=self._attempt,
            epoch=self._attempt,
            shop=self._shop,
            deadline=asyncio.get_running_loop().time() + timeout,
            log=Log("trial"),
            platform=asked,
            merged=merged,
        )
        self.dispatched = []
        stored = validate(type(event), json.loads(encode(event)))
        async with asyncio.timeout(timeout):
            result = await self._function.handler(stored, context)
        self.dispatched = asked.events
        return json.loads(to_json(result))


class TrialInbox:
    """The inbox of a trial."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = list(events)

    async def take(self) -> Sequence[Event]:
        """Return everything, the first time."""
        events, self._events = self._events, []
        return events

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Give everything, and end."""
        for event in await self.take():
            yield event


class _Asked:
    """The platform of a trial."""

    def __init__(self, steps: dict[str, Any], settings: Settings, inbox: Sequence[Event]) -> None:
        self.settings = settings
        self.events: list[Event] = []
        self.inbox = TrialInbox(inbox)
        self._steps = steps
        self._names: set[str] = set()

    def dispatch(self, event: Event, delay_seconds: float, at: datetime | None) -> None:
        encode(event)
        self.events.append(event)

    async def step(
        self,
        name: str,
        call: Callable[[], Awaitable[Any]],
        writes: bool,
        resolve: Callable[[], Awaitable[Any]] | None,
    ) -> Any:
        if name in self._names:
            raise StepError(f"step {name!r} was already used in this attempt; names are unique")
        self._names.add(name)
        if name not in self._steps:
            self._steps[name] = json.loads(to_json(await call()))
        return self._steps[name]

    async def settle(self) -> None:
        """Nothing is under way."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        raise NotImplementedError(NEEDS_DATABASE)

    def reading(self) -> AbstractAsyncContextManager[Any]:
        raise NotImplementedError(NEEDS_DATABASE)

    def recording(self) -> AbstractAsyncContextManager[Any]:
        raise NotImplementedError(NEEDS_DATABASE)

    def open(self, sealed: SealedSecret) -> str:
        raise NotImplementedError(NEEDS_DATABASE)

    async def secret(self, purpose: str, name: str) -> str | None:
        raise NotImplementedError(NEEDS_DATABASE)
