"""One run of an invocation: from what was claimed to how it ended."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from runtime.context import Context, Platform, Shop
from runtime.errors import Cancel, LeaseLost, NewerEvent, Snooze
from runtime.event import EVENT_LIMIT_BYTES, Event, decode
from runtime.function import Function
from runtime.logs import Log, where
from runtime.policy import Steer, Supersede
from runtime.results import json_of
from runtime.time_limits import TimeLimits
from state.admission import NEVER, NO_SLOT, SLOT, TOO_LATE
from state.dispatch import Asked
from state.errors import DatabaseAway, StateFault
from state.ids import public_id
from state.work import CANCELLED, DEAD, DONE, HANDED_BACK, RETRY, SNOOZE, Claimed, Finish

log = Log("attempt")

REASON_LIMIT = 2000
CRASHES_AT_MOST = 3
AWAY_SECONDS = 1.0
FORGIVING_SECONDS = 600.0
"""That Postgres is away is no failed attempt while the invocation is younger than this."""
NEWER_SECONDS = (1.0, 3.0)
NEWER_PATIENCE_SECONDS = 86_400.0
"""Versions live side by side while a deploy goes on, and not much longer."""

SUPERSEDED = "superseded by a newer event"
BY_REQUEST, DRAINING, LOST = "cancelled by request", "handed back", "not ours any more"


class Attempt:
    """One attempt, in this process."""

    __slots__ = (
        "children",
        "claimed",
        "function",
        "late",
        "newer",
        "number",
        "over",
        "recording",
        "stop",
        "stream",
        "taken",
        "task",
        "tokens",
    )

    def __init__(self, claimed: Claimed, function: Function[Any]) -> None:
        self.claimed = claimed
        self.function = function
        self.number = claimed.errors + claimed.crashes + 1
        self.stop: str | None = None
        """Why its task was cancelled; None: it was not."""
        self.late = False
        """Its time was over; its task was cancelled for that."""
        self.children: list[Asked] = []
        self.task: asyncio.Task[Finish] | None = None
        self.recording: asyncio.Future[None] | None = None
        """Stores the answer of the last step; None: it is stored."""
        self.stream: Any = None
        """What it has emitted (`runtime.emitter.Stream`); None: nothing."""
        hears = claimed.lane is not None and isinstance(function.policy.burst, (Supersede, Steer))
        self.newer = asyncio.Event() if hears else None
        """Set when a newer event of its lane may be there. None: those do not concern it."""
        self.taken: list[int] = []
        """Ids of newer events of its lane that its handler took; `Steer`."""
        self.tokens = 0
        """That its calls have settled so far."""
        self.over = False
        """Its handler has ended; what it left running may do nothing in its name."""

    @property
    def steered(self) -> bool:
        """Whether its handler is given newer events of its lane."""
        return isinstance(self.function.policy.burst, Steer) and self.claimed.lane is not None

    def cancel(self, why: str) -> None:
        """End it; the handler sees CancelledError."""
        if self.stop is None or why == LOST:
            self.stop = why
        if self.task is not None:
            self.task.cancel(why)

    async def run(
        self, shop: Shop | None, merged: Sequence[str], platform: Platform, limits: TimeLimits
    ) -> Finish:
        """Run the handler and say how it ended. Raises nothing that a handler could raise."""
        policy = self.function.policy
        # The time runs from here: a blocked loop must not be able to prolong it.
        deadline = asyncio.get_running_loop().time() + policy.timeout
        limits.watch(self, deadline)
        try:
            context = Context(
                number=self.claimed.id,
                function=self.function.name,
                attempt=self.number,
                epoch=self.claimed.epoch,
                shop=shop,
                asked_at=self.claimed.created_at,
                deadline=deadline,
                platform=platform,
                merged=[self._event(text) for text in merged],
            )
            try:
                result = await self.function.handler(self._event(self.claimed.event), context)
            finally:
                if self.recording is not None or self.stream is not None:
                    await platform.settle()
            return self._done(result)
        except Cancel as verdict:
            return self._finish(CANCELLED, verdict.reason)
        except Snooze as verdict:
            return self._finish(SNOOZE, verdict.reason, delay_seconds=verdict.seconds)
        except LeaseLost:
            return self.foreign()
        except asyncio.CancelledError:
            if self.late and self.stop is None:
                return self._failed("timeout", f"ran longer than {policy.timeout:g} s")
            return self.stopped()
        except DatabaseAway as error:
            return self.unlucky(error)
        except NewerEvent as error:
            return self._left_to_newer(error)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # a handler may even raise SystemExit
            return self._failed("error", _reason(error), error)
        finally:
            limits.forget(self)
            self.over = True

    def expire(self) -> None:
        """End it because its time is over; the handler sees CancelledError."""
        self.late = True
        if self.task is not None:
            self.task.cancel("timeout")

    def too_late(self, verdict: bytes) -> Finish:
        """Return the end of one that was claimed after its deadline, or has no slot before it."""
        deadline = self.function.policy.deadline
        reason = NO_SLOT if verdict == NEVER else TOO_LATE
        return self._finish(CANCELLED, reason.format(f"{deadline:g}"))

    def waits(self, verdict: bytes, seconds: float) -> Finish:
        """Return the end of one that may not start yet: no error, and no attempt is counted.

        Handed back, not snoozed: a suspect of a crash has not run, and stays one.
        """
        what = "its rate slot" if verdict == SLOT else "a permit"
        finish = self._finish(HANDED_BACK, f"waits for {what}", delay_seconds=seconds)
        finish.since = time.monotonic()
        for other in finish.others:
            other.since = finish.since
        return finish

    def foreign(self) -> Finish:
        """Return the end of one that is not ours any more."""
        return self._finish(HANDED_BACK, LOST)

    def fail(self, message: str) -> Finish:
        """Return a failed end in place of one that could not be stored."""
        self.children = []
        return self._failed("error", message)

    def overdue(self, reason: str) -> Finish:
        """Return the end of an attempt that had to be killed for what it took."""
        self.over, self.children = True, []
        return self._failed("timeout", reason)

    def crashed(self, reason: str) -> Finish:
        """Return the end of an attempt whose own process died: a crash alone.

        Counted as `state/routines/50_lease.sql` counts those of a worker that runs one attempt.
        """
        self.over, self.children = True, []
        crashes = self.claimed.crashes + 1
        last = crashes >= CRASHES_AT_MOST
        log.warning(
            "attempt crashed, the last one" if last else "attempt crashed",
            id=public_id(self.claimed.id),
            function=self.function.name,
            attempt=self.number,
            reason=reason,
        )
        if last:
            return self._finish(DEAD, reason, cause="crash")
        return self._finish(RETRY, reason, cause="crash", delay_seconds=4.0**self.claimed.crashes)

    def _event(self, text: str) -> Event:
        return decode(self.function.event_type, text)

    def _done(self, result: Any) -> Finish:
        try:
            body = None if result is None else json_of(result)
        except ValueError as error:
            return self._failed("error", f"the result has no JSON form: {error}")
        if body is not None and len(body) > EVENT_LIMIT_BYTES:
            return self._failed(
                "error",
                f"the result is {len(body):,} bytes; the limit is {EVENT_LIMIT_BYTES:,}."
                " Store the content and return its id",
            )
        finish = self._finish(DONE, body.decode() if body is not None else None)
        finish.children = self.children
        return finish

    def stopped(self) -> Finish:
        """Return the end of an attempt whose task was cancelled."""
        if self.stop in (BY_REQUEST, SUPERSEDED):
            return self._finish(CANCELLED, self.stop)
        if self.stop is None:
            return self._failed("error", "the function cancelled its own task")
        return self._finish(HANDED_BACK, self.stop)

    def unlucky(self, error: StateFault) -> Finish:
        """Postgres was away, or refused: the handler is not to blame, so no attempt is counted.

        Not for ever: what a handler does wrong with its connection looks the same.
        """
        age_seconds = (datetime.now(UTC) - self.claimed.created_at).total_seconds()
        if age_seconds > FORGIVING_SECONDS:
            return self._failed("error", _reason(error), error)
        log.warning(
            "postgres did not answer an attempt; it runs again",
            id=public_id(self.claimed.id),
            function=self.function.name,
            where=where(error),
        )
        return self._finish(SNOOZE, _reason(error), delay_seconds=AWAY_SECONDS)

    def broken(self, error: BaseException) -> Finish:
        """Return the end of one where our own code failed around the handler."""
        if self.stop is not None:
            return self.stopped()
        if isinstance(error, LeaseLost):
            return self.foreign()
        if isinstance(error, StateFault):
            return self.unlucky(error)
        return self._failed("error", _reason(error), error)

    def _left_to_newer(self, error: NewerEvent) -> Finish:
        """Leave an event of a newer version to a worker that knows it: no attempt is counted.

        Not for ever: a version that no longer knows a field of an old event looks the same.
        """
        age_seconds = (datetime.now(UTC) - self.claimed.created_at).total_seconds()
        if age_seconds > NEWER_PATIENCE_SECONDS:
            return self._failed("error", str(error))
        log.info(
            "an event of a newer version waits for a worker that knows it",
            id=public_id(self.claimed.id),
            function=self.function.name,
        )
        seconds = random.uniform(*NEWER_SECONDS)  # noqa: S311 - jitter: who looks first changes
        finish = self._finish(SNOOZE, str(error), delay_seconds=seconds)
        finish.for_others = True
        return finish

    def _failed(self, cause: str, reason: str, error: BaseException | None = None) -> Finish:
        retry = self.function.policy.retry
        failed = self.claimed.errors + 1
        last = failed >= retry.attempts or not retry.helps(error)
        log.warning(
            "attempt failed, the last one" if last else "attempt failed",
            id=public_id(self.claimed.id),
            function=self.function.name,
            attempt=self.number,
            cause=cause,
            **({"where": where(error)} if error is not None else {}),
        )
        if last:
            return self._finish(DEAD, reason, cause=cause)
        return self._finish(RETRY, reason, cause=cause, delay_seconds=retry.delay_seconds(failed))

    def _finish(
        self, kind: bytes, body: str | None, *, delay_seconds: float = 0.0, cause: str | None = None
    ) -> Finish:
        claimed = self.claimed
        if kind != DONE and body is not None:
            body = storable(body)
        finish = Finish(
            id=claimed.id,
            epoch=claimed.epoch,
            tenant=claimed.tenant,
            lane=claimed.lane,
            kind=kind,
            attempt=self.number,
            body=body,
            delay_seconds=delay_seconds,
            cause=cause,
            reply_to=claimed.reply_to,
            tokens=self.tokens,
        )
        if claimed.merged or self.taken:
            finish.others = self._others(finish)
        return finish

    def _others(self, finish: Finish) -> list[Finish]:
        """Return the ends of the events that this run stood for."""
        like = replace(finish, cause=None, reply_to=None)
        taken = self.taken if finish.kind == DONE else []
        if isinstance(self.function.policy.burst, Supersede):
            like = replace(like, kind=CANCELLED, body=SUPERSEDED, delay_seconds=0.0)
        return [replace(like, id=other) for other in (*(self.claimed.merged or ()), *taken)]


def _reason(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # an error whose text fails is still an error
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def storable(text: str) -> str:
    """Return a text that Postgres can hold, and not too long."""
    clean = text.replace("\0", "").encode("utf-8", "replace").decode()
    return clean if len(clean) <= REASON_LIMIT else clean[: REASON_LIMIT - 1] + "…"
