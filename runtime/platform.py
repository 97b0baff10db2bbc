"""What a running attempt may do: dispatch, steps, transactions. Bound to that attempt."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from runtime.attempt import Attempt
from runtime.calls import Calls
from runtime.context import Reserved, Transaction
from runtime.emitter import Emitter
from runtime.errors import LeaseLost, ShopForbidden, StepError
from runtime.event import Event
from runtime.inbox import AttemptInbox
from runtime.numbered import NumberedRegistry
from runtime.providers import Provider, Providers, Wish
from runtime.ringer import Ringer
from runtime.settings import Settings
from runtime.spending import spending
from runtime.steps import Steps, patiently
from runtime.vault import Vault
from state.budgets import Budget
from state.database import Connection, Database, become
from state.dispatch import Asked
from state.errors import WorkLost
from state.keyring import SealedSecret
from state.shops import INSTALLATION
from state.steps import RESTORED, Memo, entering, leave


@dataclass(frozen=True)
class Services:
    """What all attempts of a process share."""

    settings: Settings
    database: Database
    numbered: NumberedRegistry
    ringer: Ringer
    expect: Callable[[Sequence[Asked]], None]
    """Have this process look at events that were just stored, each when it is due."""
    steps: Steps
    emitter: Emitter
    worker: int
    calls: Calls
    providers: Providers
    stepping: set[int] = field(default_factory=set)
    """Functions that used a step in this process."""

    @cached_property
    def vault(self) -> Vault:
        """What opens credentials."""
        return Vault(self.settings, self.database)


class BoundTransaction:
    """A handler's transaction: see `runtime.context.Transaction`."""

    def __init__(
        self,
        connection: Connection,
        services: Services,
        tenant: int,
        asked: list[Asked] | None = None,
    ) -> None:
        self.connection = connection
        self.asked: list[Asked] = [] if asked is None else asked
        self._services = services
        self._tenant = tenant

    def dispatch(
        self, event: Event, *, delay_seconds: float = 0, at: datetime | None = None
    ) -> None:
        """Store an event with this transaction: both or neither."""
        self.asked.append(
            self._services.numbered.ask(
                event, tenant=self._tenant, delay_seconds=delay_seconds, at=at
            )
        )

    @asynccontextmanager
    async def shop(self, tenant: int) -> AsyncIterator[Transaction]:
        """Bind a part of the installation's transaction to one shop."""
        if self._tenant != INSTALLATION:
            raise ShopForbidden
        await become(self.connection, tenant, self._services.database.roles)
        yield BoundTransaction(self.connection, self._services, tenant, self.asked)
        await become(self.connection, INSTALLATION, self._services.database.roles)


class AttemptPlatform:
    """The platform as one attempt sees it."""

    def __init__(self, attempt: Attempt, services: Services) -> None:
        self._attempt = attempt
        self._services = services
        self._memos: asyncio.Task[dict[str, Memo]] | None = None
        if attempt.claimed.fn in services.stepping:
            self._memos = self._read_memos()  # it will ask for them: be a round trip ahead
        self._names: set[str] = set()
        self._in_transaction = False

    def dispatch(self, event: Event, delay_seconds: float, at: datetime | None) -> None:
        """Hold an event until the outcome is stored."""
        self._check()
        tenant = self._attempt.claimed.tenant
        self._attempt.children.append(
            self._services.numbered.ask(event, tenant=tenant, delay_seconds=delay_seconds, at=at)
        )

    async def step(
        self,
        name: str,
        call: Callable[[], Awaitable[Any]],
        writes: bool,
        resolve: Callable[[], Awaitable[Any]] | None,
    ) -> Any:
        """Make a call once; see `Context.step`."""
        self._check()
        if self._in_transaction:
            raise StepError("no step inside a transaction: it would hold the lane's lock")
        if name in self._names:
            raise StepError(f"step {name!r} was already used in this attempt; names are unique")
        self._names.add(name)
        await self.settle()
        steps = self._services.steps
        if self._memos is None:
            self._memos = self._read_memos()
            self._services.stepping.add(self._attempt.claimed.fn)
        memos = await asyncio.shield(self._memos)
        memo = memos.get(name) or memos.get(RESTORED)
        return await steps.run(self._attempt, name, memo, call, writes, resolve)

    async def call(self, event: Event, name: str | None) -> Any:
        """Call another function and wait for it; see `Context.call`."""
        function = self._services.numbered.registry.of_event(event).name
        tenant = self._attempt.claimed.tenant
        asked = self._services.numbered.ask(event, tenant=tenant)
        chosen = function if name is None else name

        async def child() -> Any:
            return await self._services.calls.call(self._attempt, chosen, function, asked)

        return await self.step(chosen, child, writes=False, resolve=None)

    async def emit(self, chunk: Any) -> None:
        """Tell who follows; see `Context.emit`."""
        self._check()
        await self._services.emitter.emit(self._attempt, chunk)

    def spending(
        self, call: str, tokens: int, within: Sequence[Budget]
    ) -> AbstractAsyncContextManager[Reserved]:
        """Reserve tokens and settle them; see `Context.spending`."""
        self._check()
        services = self._services
        return spending(services.database, services.worker, self._attempt, call, tokens, within)

    def asking(
        self,
        call: str,
        provider: Provider,
        requests: int,
        tokens: int,
        patience_seconds: float | None,
    ) -> AbstractAsyncContextManager[Reserved]:
        """Ask a provider within its limits; see `Context.asking`."""
        self._check()
        wish = Wish(provider, self._attempt.claimed.id, call, requests, tokens, patience_seconds)
        return self._services.providers.asking(wish)

    async def settle(self) -> None:
        """Wait for what is being stored; see `Steps.settle` and `Emitter.settle`."""
        await self._services.steps.settle(self._attempt)
        await self._services.emitter.settle(self._attempt)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Open a transaction that commits only while it is ours; see `Context.transaction`."""
        self._check()
        services, claimed = self._services, self._attempt.claimed
        self._in_transaction = True
        try:
            roles = services.database.roles
            begin = entering(services.worker, claimed, roles)
            async with services.database.begun(begin) as connection:
                bound = BoundTransaction(connection, services, claimed.tenant)
                yield bound
                await self.settle()
                if not await leave(connection, services.worker, claimed, roles, bound.asked):
                    raise LeaseLost
        except WorkLost:
            raise LeaseLost from None
        finally:
            self._in_transaction = False
        ring(services, bound.asked)

    def reading(self) -> AbstractAsyncContextManager[Connection]:
        """Open a transaction that only reads; see `Context.reading`."""
        return self._services.database.reading(self._attempt.claimed.tenant)

    def recording(self) -> AbstractAsyncContextManager[Connection]:
        """Open a transaction that holds nothing; see `Context.recording`."""
        return self._services.database.tenant(self._attempt.claimed.tenant)

    async def secret(self, purpose: str, name: str) -> str | None:
        """Open a credential; see `Context.secret`."""
        vault, tenant = self._services.vault, self._attempt.claimed.tenant
        return await patiently(lambda: vault.get(tenant, purpose, name))

    def open(self, sealed: SealedSecret) -> str:
        """Open a secret; see `Context.open`."""
        return self._services.vault.open(sealed)

    @cached_property
    def inbox(self) -> AttemptInbox:
        """Newer events of the lane; see `Context.inbox`."""
        return AttemptInbox(self._attempt, self._services.database, self._check)

    @property
    def settings(self) -> Settings:
        """The settings of this process."""
        return self._services.settings

    def _read_memos(self) -> "asyncio.Task[dict[str, Memo]]":
        task = asyncio.create_task(self._services.steps.memos(self._attempt))
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return task

    def _check(self) -> None:
        if self._attempt.over:
            raise LeaseLost("this attempt has ended; a task it left running may do nothing more")
        if self._attempt.stop is not None:
            raise LeaseLost(f"this attempt was stopped: {self._attempt.stop}")


def ring(services: Services, asked: list[Asked]) -> None:
    """Ring for events that were just stored."""
    services.expect(asked)
    names = {number: name for name, number in services.numbered.numbers.items()}
    for one in asked:
        if one.due_in() <= 0:
            services.ringer.ring(names[one.fn])
