"""Call a function in a test of its own, without servers: its context records what it asks for.

    trial = Trial(hello)
    assert await trial.run(Hello(name="Ana")) == "Hello, Ana!"
    assert trial.dispatched == []

Steps are made and remembered, so a second `run` of the same trial is a repeated attempt. What the
function calls is run in a trial of its own when it is among `children=[…]`; else its answer has to
be in `trial.steps`. What needs the database (`ctx.transaction()`) is tested with a real worker.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from runtime.context import Context, Reserved, Shop, Transaction
from runtime.emitter import chunk_json
from runtime.errors import CallError, Cancel, ChildFailed, Snooze, StepError, Throttled
from runtime.event import Event, encode, validate
from runtime.function import Function
from runtime.providers import Provider
from runtime.results import json_of
from runtime.settings import Settings, load_settings
from state.budgets import Budget
from state.keyring import SealedSecret

INVOCATION = "inv_0000000000000"
NEEDS_DATABASE = "this needs a database: test this function with a real worker"


class Trial:
    """One invocation of a function, attempt after attempt."""

    def __init__(
        self,
        function: Function[Any],
        *,
        children: Sequence[Function[Any]] = (),
        shop: Shop | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.dispatched: list[Event] = []
        """What the last attempt dispatched; empty when it failed."""
        self.called: list[Event] = []
        """What the last attempt called, and waited for."""
        self.emitted: list[Any] = []
        """What the last attempt told its followers, as JSON gives it back."""
        self.spent: dict[str, int] = {}
        """Tokens that calls took, by their names; there is always room for them."""
        self.steps: dict[str, Any] = {}
        """Answers of steps by name; put one in beforehand to have it found."""
        self._function = function
        self._children = children
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
        self.emitted, self.called = [], []
        asked = _Asked(self, self._settings, inbox)
        timeout = self._function.policy.timeout
        context = Context(
            number=0,
            function=self._function.name,
            attempt=self._attempt,
            epoch=self._attempt,
            shop=self._shop,
            asked_at=datetime.now(UTC),
            deadline=asyncio.get_running_loop().time() + timeout,
            platform=asked,
            merged=merged,
        )
        self.dispatched = []
        stored = validate(type(event), json.loads(encode(event)))
        async with asyncio.timeout(timeout):
            result = await self._function.handler(stored, context)
        self.dispatched = asked.events
        return json.loads(json_of(result))

    def child(self, event: Event) -> Function[Any] | None:
        """Return the function of `children` that takes an event; None: none does."""
        return next((one for one in self._children if one.event_type is type(event)), None)

    def of(self, child: Function[Any]) -> "Trial":
        """Return a trial of a function that this one calls."""
        return Trial(child, children=self._children, shop=self._shop, settings=self._settings)


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

    def __init__(self, trial: Trial, settings: Settings, inbox: Sequence[Event]) -> None:
        self.settings = settings
        self.events: list[Event] = []
        self.inbox = TrialInbox(inbox)
        self._trial = trial
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
        steps = self._trial.steps
        if name not in steps:
            steps[name] = json.loads(json_of(await call()))
        return steps[name]

    async def call(self, event: Event, name: str | None) -> Any:
        encode(event)
        self._trial.called.append(event)
        child = self._trial.child(event)
        if name is None:
            name = child.name if child else ""

        async def run() -> Any:
            if child is None:
                raise CallError(
                    f"nobody answers {type(event).__name__} here: give its function to the trial in"
                    " children=[…], or the call a name and trial.steps[name] its answer"
                )
            try:
                return await self._trial.of(child).run(event)
            except Exception as error:
                state = "cancelled" if isinstance(error, Cancel) else "dead"
                reason = str(error) if state == "cancelled" else f"{type(error).__name__}: {error}"
                raise ChildFailed(INVOCATION, state, reason) from error

        return await self.step(name, run, False, None)

    async def emit(self, chunk: Any) -> None:
        self._trial.emitted.append(json.loads(chunk_json(chunk)))

    @asynccontextmanager
    async def spending(
        self, call: str, tokens: int, within: Sequence[Budget]
    ) -> AsyncIterator[Reserved]:
        lent = Reserved(tokens)
        yield lent
        self._trial.spent[call] = tokens if lent.settled is None else lent.settled

    @asynccontextmanager
    async def asking(
        self,
        call: str,
        provider: Provider,
        requests: int,
        tokens: int,
        patience_seconds: float | None,
    ) -> AsyncIterator[Reserved]:
        try:
            yield Reserved(tokens)
        except Throttled as throttled:
            raise Snooze(max(throttled.seconds, 0.001), f"waits for {provider.host}") from None

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
