"""What runs in this process: capacity, attempts under way, and ends that are not stored yet."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any

from runtime.attempt import DRAINING, LOST, Attempt
from runtime.fairness import Begun, Fairness
from runtime.function import Function
from runtime.horizon import Horizon
from runtime.places import Places
from state.dispatch import Asked
from state.work import CANCELLED, DEAD, DONE, Claimed, Finish, Turn, Wanted

CLAIM_AT_MOST = 100
"""Half of what a function may run at once if it does not say: the other half is claimed, or ends,
while this one is on its way."""
FINISH_AT_MOST = 500
SLICE_SECONDS = 0.05
"""A lane stays ours for this long while others may wait for its place; then it stands in line."""
LATE_SECONDS = 0.005
"""A delay counts from Postgres' clock, a moment before ours: look this much later."""

Run = Callable[[Attempt], Coroutine[Any, Any, Finish]]


class Pool:
    """The attempts of one process, all on its event loop."""

    def __init__(self, served: dict[int, Function[Any]], run: Run, concurrency: int | None) -> None:
        """Create an empty pool.

        Args:
            served: functions by number.
            run: runs an attempt and says how it ended.
            concurrency: attempts at once in all; None: as each function declares.
        """
        self.served = served
        self._run = run
        self._places = Places(served, concurrency)
        self._attempts: dict[int, Attempt] = {}
        self._finished: deque[tuple[Attempt, Finish]] = deque()
        self._storing: list[tuple[Attempt, Finish]] = []
        self._since: dict[tuple[int, int | None], float] = {}
        """Since when a lane has been ours without a break."""
        self._look = set(served)
        """Functions at whose work we should look."""
        self._closed: set[int] = set()
        """Functions last claimed for newcomers alone: the others' work may be waiting."""
        self._after: Counter[int] = Counter(dict.fromkeys(served, -1))
        self._fair = {fn: Fairness() for fn in served}
        self._horizon = Horizon(served)
        self._bursting: set[int] = set()
        self._one_by_one = 0
        self.draining = False
        self.bells_in_vain = 0
        """How many bells were heard since a claim last found something new."""
        self.ended: dict[int, tuple[int, float]] = {}
        """How many attempts of each function ended here, and what they took, all together."""
        self.wake: Callable[[], None] = lambda: None
        """Called when there is something to do; set by the turn loop."""
        self.streamed: Callable[[Attempt], None] = lambda _: None
        """Called when the outcome of an attempt that emitted is stored; set by the runner."""
        self.born: Callable[[list[Asked]], None] = lambda _: None
        """Called with events that were stored with an outcome and that others serve; likewise."""

    def look(self, fns: Iterable[int]) -> None:
        """Look at these functions' work in the next turn."""
        new = self.served.keys() & set(fns)
        if new:
            self._look |= new
            self.wake()

    def look_at_all(self) -> None:
        """Look at all work of every function, however long it has been due."""
        self._horizon.forget(self.served)
        self.look(self.served)

    def expect(self, asked: Iterable[Asked]) -> None:
        """Look at events that were just stored, each when it is due.

        Others are told by bells; here nobody has to wait for one.
        """
        loop = asyncio.get_running_loop()
        due = {(one.fn, max(one.due_in(), 0.0)) for one in asked if one.fn in self.served}
        for fn, seconds in due:
            if seconds:
                loop.call_later(seconds + LATE_SECONDS, self.look, [fn])
        self.look(fn for fn, seconds in due if not seconds)

    def running(self) -> int:
        """Return how many attempts are under way."""
        return len(self._attempts)

    def empty(self) -> bool:
        """Say whether nothing runs and every end is stored."""
        return not (self._attempts or self._finished or self._storing)

    def held(self) -> list[Claimed]:
        """Return everything whose end is not stored yet."""
        ended = [attempt for attempt, _ in (*self._finished, *self._storing)]
        return [attempt.claimed for attempt in (*self._attempts.values(), *ended)]

    def take(self) -> tuple[list[Finish], list[Wanted]]:
        """Return what the next turn is to store and to claim."""
        count = min(len(self._finished), 1 if self._one_by_one else FINISH_AT_MOST)
        batch = [self._finished.popleft() for _ in range(count)]
        self._one_by_one = max(0, self._one_by_one - count)
        self._storing = batch
        waiting = self._look | self._closed
        contended = {fn for fn in waiting if self._places.open(fn) <= 0}
        for attempt, finish in batch:
            finish.keep = self._keeps(attempt.claimed, contended)
            if not finish.keep:
                self._leave(attempt)
        return [finish for _, finish in batch], [] if self.draining else self._want()

    def _want(self) -> list[Wanted]:
        wanted = []
        reopened = {fn for fn in self._closed if self._places.open(fn) > 0}
        for fn in sorted(self._look | reopened):
            behind: list[tuple[int, int | None]]
            if (count := min(self._places.open(fn), CLAIM_AT_MOST)) > 0:
                behind = [*self._fair[fn].behind(count)]
                self._closed.discard(fn)
            elif (count := self._places.spare(fn)) > 0:
                behind = [(tenant, None) for tenant in self._places.holders(fn)]
                self._closed.add(fn)
            else:
                continue
            lanes = self.served[fn].policy.lane is not None
            since = self._horizon.of(fn)
            wanted.append(Wanted(fn, count, lanes, self._after[fn], behind, since))
            self._look.discard(fn)
            self._places.ask(fn, count)
        return wanted

    def taken(self, turned: Turn, wanted: list[Wanted]) -> None:
        """Take in what a turn gave; `wanted` is what it was asked."""
        going_on = {_lane_of(claimed) for claimed in turned.claimed}
        stored = self._stored()
        for attempt, finish in stored:
            if finish.children:
                # What is due at once was stored later than this turn's time of looking.
                self.expect(finish.children)
                if others := [one for one in finish.children if one.fn not in self.served]:
                    self.born(others)
            if attempt.stream is not None and finish.kind in (DONE, DEAD, CANCELLED):
                self.streamed(attempt)
            if finish.delay_seconds and not finish.for_others:
                loop = asyncio.get_running_loop()
                loop.call_later(finish.due_in() + LATE_SECONDS, self.look, [attempt.claimed.fn])
            if attempt.claimed.lane is not None and _lane_of(attempt.claimed) not in going_on:
                self._since.pop(_lane_of(attempt.claimed), None)
                if not finish.keep:
                    self._look.add(attempt.claimed.fn)  # the next in that lane may be ours again
        if wanted and self.bells_in_vain:
            ours = {_lane_of(attempt.claimed) for attempt, _ in stored}
            if any(one.lane is None or _lane_of(one) not in ours for one in turned.claimed):
                self.bells_in_vain = 0
        for want in wanted:
            self._places.answered(want.fn, want.most)
        self._horizon.learn(turned.since)
        self._look |= set(turned.more)
        if turned.claimed:
            admitted = [self._admit(claimed) for claimed in turned.claimed]
            # After what waits to be stored has been sent: Postgres works while these run.
            asyncio.get_running_loop().call_soon(self._start, admitted)
        for attempt, _ in stored:
            self._look_for_newcomers(attempt.claimed)
        if self._look or self._closed or self._finished:
            self.wake()

    def give_back(self, wanted: list[Wanted]) -> None:
        """Undo `take` after a turn that failed: it may or may not have happened."""
        for attempt, finish in reversed(self._stored()):
            self._finished.appendleft((attempt, finish))
            self._hold(attempt)
        for want in wanted:
            self._places.answered(want.fn, want.most)
            self._look.add(want.fn)
        self._horizon.forget(want.fn for want in wanted)

    def reject(self, wanted: list[Wanted], why: str) -> None:
        """Deal with ends that Postgres refuses: find the one at fault, and fail it instead."""
        alone = len(self._storing) == 1
        if not alone:
            self._one_by_one = len(self._storing)
        else:
            ((attempt, finish),) = self._storing
            failed = attempt.fail(f"its end could not be stored: {why}")
            failed.keep = finish.keep  # its place has been left, or not
            self._storing = [(attempt, failed)]
        self.give_back(wanted)
        if alone:
            self._finished.rotate(-1)  # if this is refused too, all others have been stored before

    def stop(self, ids: Iterable[int], why: str) -> None:
        """Cancel these attempts, if they run here."""
        for number in ids:
            if number in self._attempts:
                self._attempts[number].cancel(why)

    def stop_all(self, why: str) -> None:
        """Cancel every attempt."""
        self.stop(list(self._attempts), why)

    def lose(self, foreign: Iterable[int]) -> None:
        """Stop attempts that are not ours any more."""
        self.stop(foreign, LOST)

    def newer(self, tenant: int, lane: int) -> None:
        """Hear that there is a newer event in a lane that an attempt of ours may hold."""
        for attempt in self.bursting():
            if attempt.newer is not None and _lane_of(attempt.claimed) == (tenant, lane):
                attempt.newer.set()

    def bursting(self) -> list[Attempt]:
        """Return the attempts whose functions want to know of newer events of their lane."""
        return [self._attempts[number] for number in self._bursting if number in self._attempts]

    def drain(self) -> None:
        """Claim nothing more."""
        self.draining = True
        self.wake()

    def hand_back_all(self) -> None:
        """Cancel every attempt; they will run again elsewhere, and nothing is blamed."""
        self.stop_all(DRAINING)

    def _stored(self) -> list[tuple[Attempt, Finish]]:
        """Return the ends that the last turn was to store."""
        pairs, self._storing = self._storing, []
        for attempt, finish in pairs:
            if finish.keep:
                self._leave(attempt)
        return pairs

    def _hold(self, attempt: Attempt) -> None:
        """Keep the place of one that has ended for the next in its lane, if it has one."""
        if attempt.claimed.lane is not None:
            self._places.hold(attempt.claimed.fn, attempt.claimed.tenant)

    def _leave(self, attempt: Attempt) -> None:
        if attempt.claimed.lane is not None:
            self._places.leave(attempt.claimed.fn, attempt.claimed.tenant)

    def _look_for_newcomers(self, claimed: Claimed) -> None:
        """Look again if this one's shop was left out, and has no place any more."""
        if claimed.fn in self._closed and claimed.tenant not in self._places.holders(claimed.fn):
            self._look.add(claimed.fn)

    def _keeps(self, claimed: Claimed, contended: set[int]) -> bool:
        """Say whether a lane that is ours may go on: not for ever while others wait for a place."""
        if self.draining:
            return False
        since = self._since.get(_lane_of(claimed))
        if since is None or claimed.fn not in contended:
            return True
        return time.monotonic() - since < SLICE_SECONDS

    def _admit(self, claimed: Claimed) -> tuple[Attempt, Begun | None]:
        """Give a place to what was claimed."""
        attempt = Attempt(claimed, self.served[claimed.fn])
        self._attempts[claimed.id] = attempt
        self._places.begin(claimed.fn, claimed.tenant)
        self._after[claimed.fn] = claimed.tenant
        if claimed.lane is not None:
            self._since.setdefault(_lane_of(claimed), time.monotonic())
        if attempt.newer is not None:
            self._bursting.add(claimed.id)
        return attempt, self._fair[claimed.fn].began(claimed.tenant)

    def _start(self, admitted: list[tuple[Attempt, Begun | None]]) -> None:
        for attempt, begun in admitted:
            attempt.task = asyncio.create_task(self._run(attempt))
            if attempt.stop is not None:  # cancelled before it began
                attempt.task.cancel(attempt.stop)
            # Not a coroutine around it: of a task that is cancelled before it begins, nothing runs.
            attempt.task.add_done_callback(partial(self._ended, attempt, begun, time.monotonic()))

    def _ended(
        self, attempt: Attempt, begun: Begun | None, began: float, task: "asyncio.Task[Finish]"
    ) -> None:
        claimed = attempt.claimed
        if task.cancelled():
            end = attempt.stopped()
        elif error := task.exception():
            end = attempt.broken(error)
        else:
            end = task.result()
        if self._attempts.get(claimed.id) is attempt:
            del self._attempts[claimed.id]
            self._bursting.discard(claimed.id)
        if begun is not None:
            self._fair[claimed.fn].ended(claimed.tenant, begun, end.tokens)
        count, seconds = self.ended.get(claimed.fn, (0, 0.0))
        self.ended[claimed.fn] = count + 1, seconds + time.monotonic() - began
        if claimed.lane is None:
            self._places.leave(claimed.fn, claimed.tenant)
        self._finished.append((attempt, end))
        self.wake()


def _lane_of(claimed: Claimed) -> tuple[int, int | None]:
    return claimed.tenant, claimed.lane
