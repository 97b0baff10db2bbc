"""What a function is given besides its event."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from runtime.event import Event
from runtime.logs import Log
from runtime.settings import Settings
from state.budgets import Budget
from state.ids import public_id
from state.keyring import SealedSecret

if TYPE_CHECKING:
    from runtime.providers import Provider

log = Log("attempt")


@dataclass(frozen=True)
class Shop:
    """Whose work this is."""

    tenant: int
    name: str


class Transaction(Protocol):
    """A transaction bound to the shop; it commits only while the invocation is still ours."""

    connection: Any
    """Sees the shop's rows alone. Give it to repositories of `state`."""

    def dispatch(
        self, event: Event, *, delay_seconds: float = 0, at: datetime | None = None
    ) -> None:
        """Store an event with this transaction: both or neither."""

    def shop(self, tenant: int) -> "AbstractAsyncContextManager[Transaction]":
        """Bind a part of this transaction to one shop, and its dispatches with it.

        For the installation's own work, which receives for all shops.

        Raises:
            ShopForbidden: this invocation belongs to a shop.
        """


class Reserved:
    """Tokens reserved for a call under way."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self.settled: int | None = None
        """What the call took; None: nobody has said so yet."""

    def settle(self, tokens: int) -> None:
        """Say what the call took; it may be more than was reserved."""
        self.settled = tokens


class Inbox(Protocol):
    """Newer events of the lane, for a handler declared with `burst=Steer()`.

    What was taken counts as handled when the attempt ends well, in the same commit. After any
    other end it is still in line, and runs next.
    """

    async def take(self) -> Sequence[Event]:
        """Return what has come since the last call, oldest first; empty: nothing."""

    def __aiter__(self) -> AsyncIterator[Event]:
        """Wait for what comes, one after the other. Without an end: break off, or time out."""


class Platform(Protocol):
    """What the worker does for a running attempt."""

    @property
    def settings(self) -> Settings: ...  # noqa: D102

    @property
    def inbox(self) -> Inbox: ...  # noqa: D102

    def dispatch(  # noqa: D102
        self, event: Event, delay_seconds: float, at: datetime | None
    ) -> None: ...

    async def step(  # noqa: D102
        self,
        name: str,
        call: Callable[[], Awaitable[Any]],
        writes: bool,
        resolve: Callable[[], Awaitable[Any]] | None,
    ) -> Any: ...

    async def call(self, event: Event, name: str | None) -> Any: ...  # noqa: D102

    async def emit(self, chunk: Any) -> None: ...  # noqa: D102

    def spending(  # noqa: D102
        self, call: str, tokens: int, within: Sequence[Budget]
    ) -> AbstractAsyncContextManager[Reserved]: ...

    def asking(  # noqa: D102
        self,
        call: str,
        provider: "Provider",
        requests: int,
        tokens: int,
        patience_seconds: float | None,
    ) -> AbstractAsyncContextManager[Reserved]: ...

    async def settle(self) -> None: ...  # noqa: D102

    def transaction(self) -> AbstractAsyncContextManager[Transaction]: ...  # noqa: D102

    def reading(self) -> AbstractAsyncContextManager[Any]: ...  # noqa: D102

    def recording(self) -> AbstractAsyncContextManager[Any]: ...  # noqa: D102

    async def secret(self, purpose: str, name: str) -> str | None: ...  # noqa: D102

    def open(self, sealed: SealedSecret) -> str: ...  # noqa: D102


@dataclass(eq=False)  # frozen, it would take twice as long to make
class Context:
    """One attempt's view of the platform."""

    number: int
    """Of the invocation; people see it as `invocation`."""
    function: str
    attempt: int
    """1 for the first."""
    epoch: int
    """Grows whenever the invocation is claimed: tells runs apart, also those that crashed."""
    shop: Shop | None
    """None: the installation itself."""
    asked_at: datetime
    """When the event was dispatched."""
    deadline: float
    """When the attempt is ended, by the loop's clock; see `seconds_left`."""
    platform: Platform
    merged: Sequence[Event] = ()
    """Merge: the earlier events that this run stands for, oldest first."""

    @cached_property
    def invocation(self) -> str:
        """The id, as people see it (`inv_…`); the same in every attempt."""
        return public_id(self.number)

    @cached_property
    def log(self) -> Log:
        """A logger whose lines carry the id and the function's name."""
        return log.bind(id=self.invocation, function=self.function)

    @property
    def settings(self) -> Settings:
        """The settings of this process."""
        return self.platform.settings

    @property
    def inbox(self) -> Inbox:
        """Newer events of the lane (`burst=Steer()`); otherwise nothing ever comes."""
        return self.platform.inbox

    def now(self) -> datetime:
        """Return the time, in UTC."""
        return datetime.now(UTC)

    def seconds_left(self) -> float:
        """Return how long this attempt may still run."""
        return max(0.0, self.deadline - asyncio.get_running_loop().time())

    async def dispatch(
        self, event: Event, *, delay_seconds: float = 0, at: datetime | None = None
    ) -> None:
        """Store an event together with the outcome of this attempt: both or neither.

        It starts when this attempt has ended well, and a repeated attempt cannot double it. To
        have it start earlier, dispatch it in a `transaction`. It is due `delay_seconds` after
        that, or at a time (with its zone).
        """
        self.platform.dispatch(event, delay_seconds, at)

    async def step(
        self,
        name: str,
        call: Callable[[], Awaitable[Any]],
        *,
        writes: bool = False,
        resolve: Callable[[], Awaitable[Any]] | None = None,
    ) -> Any:
        """Make a paid or outside call once: a later attempt gets the answer of the first.

        Args:
            name: of this call within the invocation.
            call: makes it and returns what JSON can hold; you get it as JSON gives it back.
            writes: it changes something outside. An intent is stored before it, so that an
                attempt that died in the middle is seen.
            resolve: for such a case: look up what became of the call; returns its answer, or
                raises `LookupError` when it certainly did not happen.

        Raises:
            StepError: a writing call was interrupted and there is no `resolve`; or the name was
                used twice.
            LeaseLost: the invocation belongs to another worker by now.
        """
        return await self.platform.step(name, call, writes, resolve)

    async def call(self, event: Event, *, name: str | None = None) -> Any:
        """Have another function run, wait for it, and return its result as JSON gives it back.

        It is stored at once, and once for this invocation and name: a later attempt waits for the
        same one, and gets the same answer, as from a step. This attempt goes on being held, and
        its `timeout` running. Who cancels this invocation cancels what it called.

        Args:
            event: of the other function.
            name: of this call among steps and calls; None: the other function's name.

        Raises:
            ChildFailed: it ended as dead or cancelled.
            CallError: it would wait for this one (same lane), or an earlier attempt called it with
                another event.
            StepError: the name was used twice.
            LeaseLost: this invocation belongs to another worker by now.
        """
        return await self.platform.call(event, name)

    async def gather(self, events: Mapping[str, Event] | Sequence[Event]) -> Any:
        """Call several functions at once; as `call`.

        Args:
            events: by the names of their calls; or in a list, whose calls are named
                `gather-0`, `gather-1`, … .

        Returns:
            Their results, by name or in a list.

        Raises:
            ChildFailed: of the first that failed; the others go on, and a later attempt finds them.
        """
        if isinstance(events, Mapping):
            return await _together(
                {name: self.call(one, name=name) for name, one in events.items()}
            )
        named = {
            f"gather-{at}": self.call(one, name=f"gather-{at}") for at, one in enumerate(events)
        }
        return list((await _together(named)).values())

    async def emit(self, chunk: Any) -> None:
        """Tell those who follow this invocation; they see it as soon as it is stored.

        In order, once each. A repeated attempt begins its stream anew, and its followers are told
        so: emit what may be said twice. Returns when the chunk before this one is stored.

        Args:
            chunk: what JSON can hold, at most 64,000 bytes; 16 MB in all of an attempt.

        Raises:
            EmitError: it has no JSON form, or is too large.
            LeaseLost: the invocation belongs to another worker by now.
        """
        await self.platform.emit(chunk)

    def spending(
        self, call: str, *, tokens: int, within: Sequence[Budget]
    ) -> AbstractAsyncContextManager[Reserved]:
        """Reserve tokens for a paid call in all these budgets; settle them at the end of the block.

        Take it inside of a step, so that only a call that is really made is paid for. Say with
        `settle` what the call took: else it counts with what was reserved. When the block fails
        before that, the reservation stays for the next attempt, and is free once the run ends.

        Args:
            call: its name within the invocation, as that of a step.
            tokens: that it takes at most.
            within: the budgets, each scope once.

        Raises:
            BudgetSpent: one of them has no room: do not make the call.
            LeaseLost: the invocation belongs to another worker by now.
        """
        return self.platform.spending(call, tokens, within)

    def asking(
        self,
        call: str,
        provider: "Provider",
        *,
        requests: int = 1,
        tokens: int = 0,
        patience_seconds: float | None = None,
    ) -> AbstractAsyncContextManager[Reserved]:
        """Ask a provider within its limits, and not while it wants a pause.

        Take it inside of a step. When the provider lets the call in later, the attempt ends and
        begins again then, without a failure: nobody holds a place meanwhile, and others' work goes
        on. Raise `Throttled` in the block when the provider answers so (429): for as long as it
        says, nobody asks it under this key.

        Args:
            call: its name within the invocation, as that of a step.
            provider: who is asked, and its limits.
            requests: that the block makes.
            tokens: that they take at most; `settle` says what it was, as far as it is known.
            patience_seconds: the longest wait that is of use. None: any.

        Raises:
            ProviderBusy: the wait would be longer than that: nothing was asked.
            Snooze: what ends the attempt; let it pass.
        """
        return self.platform.asking(call, provider, requests, tokens, patience_seconds)

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction bound to the shop, and to this attempt still being ours.

        Whose it is, is checked when it begins, and held from its end to the commit. No outside
        call inside: whoever needs the same rows would wait for it.

        Raises:
            LeaseLost: the invocation belongs to another worker by now.
        """
        return self.platform.transaction()

    def reading(self) -> AbstractAsyncContextManager[Any]:
        """Open a transaction bound to the shop, to read. Nothing is locked, nothing waits."""
        return self.platform.reading()

    def recording(self) -> AbstractAsyncContextManager[Any]:
        """Open a transaction bound to the shop, to record a fact.

        What has happened outside is written down even when the invocation belongs to another
        worker by now. For effects that may happen once only, take `transaction`.
        """
        return self.platform.recording()

    async def secret(self, purpose: str, name: str) -> str | None:
        """Return a secret of the shop (of the installation, without one); None: there is none.

        Raises:
            CredentialSealed: it is there, and its key is not; the message says what to do.
        """
        return await self.platform.secret(purpose, name)

    def open(self, sealed: SealedSecret) -> str:
        """Return a secret that was read together with something else.

        Raises:
            CredentialSealed: its key is not there; the message says what to do.
        """
        return self.platform.open(sealed)


async def _together(calls: dict[str, Coroutine[Any, Any, Any]]) -> dict[str, Any]:
    """Return the answers of all; when one fails, nobody waits for the others any more."""
    tasks = [asyncio.ensure_future(call) for call in calls.values()]
    try:
        return dict(zip(calls, await asyncio.gather(*tasks), strict=True))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
