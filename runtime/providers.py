"""Limits and pauses of those outside whom functions ask: models, shops' platforms, channels.

Who waits holds no worker: the attempt ends, and the next one finds the moment that was kept for
it. A provider without limits costs no statement, unless it is paused: a process looks once for
each, and hears of later pauses. Safe to run twice: a moment too many is a bit of a minute lost.
"""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from runtime.context import Reserved
from runtime.errors import ProviderBusy, Snooze, Throttled
from runtime.logs import Log
from runtime.steps import patiently
from state import providers as stored
from state.database import Database
from state.providers import Limits, Slot

log = Log("providers")

NO_LIMITS = Limits()
NEAR_SECONDS = 0.5
"""A moment as near as that is waited for: to end the attempt and begin anew would take as long."""
PAUSE_AT_LEAST_SECONDS, PAUSE_AT_MOST_SECONDS = 0.25, 3600.0
"""However long somebody wants a pause, after this they are asked again."""
SPREAD = 0.1
"""Who waits for the end of a pause comes up to this part of it later: not all at once."""


@dataclass(frozen=True)
class Provider:
    """Somebody outside, under one key."""

    host: str
    """For people."""
    address: str
    key: str = field(default="", repr=False)
    limits: Limits = NO_LIMITS

    @property
    def number(self) -> int:
        """Who it is in tables: a hash, from which nobody reads the key."""
        both = f"{self.address}\0{self.key}".encode()
        return int.from_bytes(hashlib.sha256(both).digest()[:8], signed=True)


@dataclass(frozen=True)
class Wish:
    """What a call wants of a provider."""

    provider: Provider
    invocation: int
    call: str
    requests: int
    tokens: int
    patience_seconds: float | None


class Providers:
    """The providers that this process asks."""

    def __init__(self, database: Database, *, told: bool) -> None:
        """Create it.

        Args:
            database: where all processes find them.
            told: whether `heard` is called for each pause; if not, each call looks for one.
        """
        self._database, self._told = database, told
        self._paused_until: dict[int, float] = {}
        self._looked: set[int] = set()

    def heard(self, payload: str) -> None:
        """Hear of a pause: `paused:NUMBER:SECONDS`."""
        _, number, seconds = payload.split(":")
        self._remember(int(number), float(seconds))

    def forget(self) -> None:
        """Look again: we may have missed something."""
        self._looked.clear()

    @asynccontextmanager
    async def asking(self, wish: Wish) -> AsyncIterator[Reserved]:
        """Let a call in, or end the attempt; see `Context.asking`."""
        await self._enter(wish)
        reserved = Reserved(wish.tokens)
        try:
            yield reserved
        except Throttled as throttled:
            seconds = await self._pause(wish.provider, throttled.seconds)
            await self._enter(wish, near_seconds=0.0)
            raise Snooze(seconds, f"{wish.provider.host} wanted a pause") from None
        finally:
            await self._correct(wish, reserved)

    async def _enter(self, wish: Wish, near_seconds: float = NEAR_SECONDS) -> None:
        """Return when the call may be made.

        Raises:
            Snooze: not in this attempt.
            ProviderBusy: not as soon as the caller needs it.
        """
        if wish.provider.limits == NO_LIMITS:
            wait = await self._paused_seconds(wish.provider.number)
            patience = wish.patience_seconds
            later = random.uniform(1, 1 + SPREAD)  # noqa: S311 - jitter
            slot = Slot(wait * later, not wait or patience is None or wait <= patience)
        else:
            slot = await patiently(lambda: self._take(wish, near_seconds))
        if not slot.ours:
            raise ProviderBusy(wish.provider.host, slot.wait_seconds)
        if slot.wait_seconds > near_seconds:
            raise Snooze(slot.wait_seconds, f"waits for {wish.provider.host}")
        if slot.wait_seconds:
            await asyncio.sleep(slot.wait_seconds)

    async def _take(self, wish: Wish, near_seconds: float) -> Slot:
        provider = wish.provider
        async with self._database.engine() as connection:
            return await stored.take_slot(
                connection,
                provider.number,
                provider.host,
                provider.limits,
                invocation=wish.invocation,
                call=wish.call,
                requests=wish.requests,
                tokens=wish.tokens,
                patience_seconds=wish.patience_seconds,
                near_seconds=near_seconds,
            )

    async def _correct(self, wish: Wish, reserved: Reserved) -> None:
        limits = wish.provider.limits
        if reserved.settled is None or limits.tokens_per_minute is None:
            return
        more = reserved.settled - reserved.tokens

        async def correct() -> None:
            async with self._database.engine() as connection:
                await stored.correct_tokens(connection, wish.provider.number, limits, more)

        await asyncio.shield(asyncio.ensure_future(patiently(correct)))

    async def _pause(self, provider: Provider, seconds: float) -> float:
        """Have nobody ask for a while; returns how long that is."""
        seconds = min(max(seconds, PAUSE_AT_LEAST_SECONDS), PAUSE_AT_MOST_SECONDS)
        log.warning("a provider wants a pause", provider=provider.host, seconds=round(seconds, 3))
        self._remember(provider.number, seconds)

        async def pause() -> None:
            async with self._database.engine() as connection:
                await stored.pause(connection, provider.number, provider.host, seconds)

        await patiently(pause)
        return seconds

    async def _paused_seconds(self, number: int) -> float:
        """Return for how long nothing may be asked; 0: now it may."""
        if number not in self._looked:

            async def look() -> float:
                async with self._database.engine() as connection:
                    return await stored.paused_seconds(connection, number)

            self._remember(number, await patiently(look))
            if self._told:
                self._looked.add(number)
        until = self._paused_until.get(number)
        if until is None:
            return 0.0
        left = until - asyncio.get_running_loop().time()
        if left <= 0:
            del self._paused_until[number]
        return max(0.0, left)

    def _remember(self, number: int, seconds: float) -> None:
        if seconds > 0:
            until = asyncio.get_running_loop().time() + seconds
            self._paused_until[number] = max(until, self._paused_until.get(number, 0.0))
