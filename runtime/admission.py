"""What is asked before an attempt starts, for functions that limit their starts.

Attempts that come together share one statement; functions without limits ask nothing. Who may not
start yet waits in Postgres and holds no worker. Safe to run twice: asking again finds the slot that
is waited for, and the permit that was given.
"""

import asyncio
from typing import Any

from runtime.attempt import Attempt
from runtime.batch import Batcher
from runtime.errors import InvalidEvent
from runtime.event import Event, decode
from runtime.function import Function
from runtime.lanes import lane_number
from runtime.limits import Rate
from runtime.line import Line
from runtime.steps import patiently
from state.admission import (
    EVERY_SHOP,
    FENCED,
    LATE,
    NEVER,
    PERMIT,
    SLOT,
    Admitted,
    Asking,
    Pace,
    admit,
)
from state.database import Database
from state.errors import StateFault
from state.work import Claimed, Finish

ASK_AT_MOST = 200
THE_LINE = 0
"""Key of a line that has no key."""


class Admission:
    """Lets attempts of one process start, has them wait, or ends them unstarted."""

    def __init__(self, database: Database, worker: int, numbers: dict[str, int]) -> None:
        """Create it; nothing is opened before a function with limits asks.

        Args:
            database: where to ask.
            worker: our number.
            numbers: of functions, by their names.
        """
        self._worker, self._numbers = worker, numbers
        self._line = Line(database.dsn, "nexus admission", roles=database.roles)
        self._batcher: Batcher[Asking, Admitted] = Batcher(self._ask, ASK_AT_MOST)

    def close(self) -> None:
        """Break off."""
        self._line.close()

    async def refused(self, attempt: Attempt) -> Finish | None:
        """Return how an attempt ends that may not start now; None: it starts."""
        if not attempt.function.asks:
            return None
        asking = self._asking(attempt.claimed, attempt.function)
        try:
            admitted = await patiently(lambda: self._answer(asking))
        except StateFault as error:
            return attempt.unlucky(error)
        if admitted.verdict in (SLOT, PERMIT):
            return attempt.waits(admitted.verdict, admitted.seconds)
        if admitted.verdict in (LATE, NEVER):
            return attempt.too_late(admitted.verdict)
        return attempt.foreign() if admitted.verdict == FENCED else None

    async def _answer(self, asking: Asking) -> Admitted:
        answer = self._batcher.put(asking)
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            # It may be granted: our end has to be stored after that, to give it back.
            await asyncio.gather(answer, return_exceptions=True)
            raise

    def _asking(self, claimed: Claimed, function: Function[Any]) -> Asking:
        permits, rate = function.policy.permits, function.policy.rate
        keyed = (permits and permits.key) or (rate and rate.key)
        event = _event(claimed, function) if keyed else None
        key = _key(event, permits.key) if permits else None
        return Asking(
            id=claimed.id,
            epoch=claimed.epoch,
            fn=self._numbers[function.name],
            tenant=claimed.tenant,
            pace=None if rate is None else _pace(rate, event, claimed.tenant),
            key=key,
            per_key=permits.per_key if permits and key is not None else None,
            fleet=permits.fleet if permits else None,
            elders=claimed.merged or (),
        )

    async def _ask(self, asking: list[Asking]) -> list[Admitted]:
        answers = await admit(await self._line.connection(), self._worker, asking)
        return [answers[one.id] for one in asking]


def _event(claimed: Claimed, function: Function[Any]) -> Event | None:
    """Return the event; None: it does not fit any more, and the attempt will fail by that."""
    event_type: type[Event] = function.event_type
    try:
        return decode(event_type, claimed.event)
    except InvalidEvent:
        return None


def _key(event: Event | None, field: str | None) -> int | None:
    """Return the number of a field's value; None: there is no such field, or nothing in it."""
    value = None if event is None or field is None else getattr(event, field)
    return None if value is None else lane_number(str(field), str(value))


def _pace(rate: Rate, event: Event | None, tenant: int) -> Pace | None:
    key = THE_LINE if rate.key is None else _key(event, rate.key)
    if key is None:
        return None
    return Pace(
        tenant=tenant if rate.scope == "shop" else EVERY_SHOP,
        key=key,
        seconds=rate.pace_seconds,
        credit_seconds=rate.credit_seconds,
        grace_seconds=rate.grace_seconds,
    )
