"""What runs in this process: capacity, attempts under way, and ends that are not stored yet."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from runtime.attempt import DRAINING, LOST, Attempt
from runtime.function import Function
from state.dispatch import Asked
from state.work import Claimed, Finish, Turn, Wanted

CLAIM_AT_MOST = 200
FINISH_AT_MOST = 500
LATE_SECONDS = 0.005
"""A delay counts from Postgres' clock, a moment before ours: look this much later."""

Run = Callable[[Attempt], Any]


class Pool:
    """The attempts of one process, all on its event loop."""

    def __init__(self, served: dict[int, Function[Any]], run: Run, concurrency: int | None) -> None:
        """Create an empty pool.

        Args:
            served: functions by number.
            run: coroutine function that runs an attempt and returns its Finish.
            concurrency: attempts at once in all; None: as each function declares.
        """
        self.served = served
        self._run = run
        self._concurrency = concurrency
        self._attempts: dict[int, Attempt] = {}
        self._finished: deque[tuple[Attempt, Finish]] = deque()
        self._storing: list[tuple[Attempt, Finish]] = []
        self._busy: Counter[int] = Counter()
        self._look = set(served)
        """Functions at whose work we should look."""
        self._full: set[int] = set()
        """Functions whose last claim gave all that was wanted: a second loop may help."""
        self._after: Counter[int] = Counter(dict.fromkeys(served, -1))
        self._bursting: set[int] = set()
        self._one_by_one = 0
        self.draining = False
        self.wake: Callable[[], None] = lambda: None
        """Called when there is something to do; set by the turn loops."""

    def look(self, fns: Iterable[int]) -> None:
        """Look at these functions' work in the next turn."""
        new = self.served.keys() & set(fns)
        if new:
            self._look |= new
            self.wake()

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

    def take(self, *, first: bool) -> tuple[list[Finish], list[Wanted]]:
        """Return what the next turn is to store and to claim.

        Args:
            first: whether this loop answers bells; another one only helps while claims are full.
        """
        count = min(len(self._finished), 1 if self._one_by_one else FINISH_AT_MOST)
        batch = [self._finished.popleft() for _ in range(count)]
        self._one_by_one = max(0, self._one_by_one - count)
        self._storing += batch
        return [finish for _, finish in batch], [] if self.draining else self._want(first)

    def _want(self, first: bool) -> list[Wanted]:
        wanted = []
        for fn in sorted(self._look if first else self._look & self._full):
            function = self.served[fn]
            free = function.policy.concurrency - self._busy[fn]
            if self._concurrency is not None:
                free = min(free, self._concurrency - self._busy.total())
            if free > 0:
                count = min(free, CLAIM_AT_MOST)
                wanted.append(Wanted(fn, count, function.policy.lane is not None, self._after[fn]))
                self._look.discard(fn)
                self._busy[fn] += count  # until the turn says how many there were
        return wanted

    def taken(self, turned: Turn, finished: list[Finish], wanted: list[Wanted]) -> None:
        """Take in what a turn gave; `finished` and `wanted` are what it was asked."""
        for attempt, finish in self._stored(finished):
            # What is due at once was stored later than this turn's time of looking.
            self.expect(finish.children)
            if finish.delay_seconds:
                loop = asyncio.get_running_loop()
                loop.call_later(
                    finish.delay_seconds + LATE_SECONDS, self.look, [attempt.claimed.fn]
                )
        for want in wanted:
            self._busy[want.fn] -= want.most
            self._full.discard(want.fn)
        self._full |= set(turned.more)
        self._look |= set(turned.more)
        for claimed in turned.claimed:
            self._after[claimed.fn] = claimed.tenant
            self._start(claimed)
        if self._look or self._finished:
            self.wake()

    def give_back(self, finished: list[Finish], wanted: list[Wanted]) -> None:
        """Undo `take` after a turn that failed: it may or may not have happened."""
        self._finished.extendleft(reversed(self._stored(finished)))
        for want in wanted:
            self._busy[want.fn] -= want.most
            self._look.add(want.fn)

    def reject(self, finished: list[Finish], why: str) -> None:
        """Deal with ends that Postgres refuses: find the one at fault, and fail it instead."""
        if len(finished) > 1:
            self._one_by_one = len(finished)
            self.give_back(finished, [])
            return
        for attempt, _ in self._stored(finished):
            self._finished.append((attempt, attempt.fail(f"its end could not be stored: {why}")))

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
            if (attempt.claimed.tenant, attempt.claimed.lane) == (tenant, lane):
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

    def _stored(self, finished: list[Finish]) -> list[tuple[Attempt, Finish]]:
        """Take these off the list of ends that are being stored, and return them."""
        ours = {id(finish) for finish in finished}
        pairs = [pair for pair in self._storing if id(pair[1]) in ours]
        self._storing = [pair for pair in self._storing if id(pair[1]) not in ours]
        return pairs

    def _start(self, claimed: Claimed) -> None:
        attempt = Attempt(claimed, self.served[claimed.fn])
        self._attempts[claimed.id] = attempt
        self._busy[claimed.fn] += 1
        if attempt.hears_newer:
            self._bursting.add(claimed.id)
        attempt.task = asyncio.create_task(self._attend(attempt))

    async def _attend(self, attempt: Attempt) -> None:
        claimed = attempt.claimed
        end: Finish | None = None
        with suppress(asyncio.CancelledError):
            end = await self._run(attempt)
        if end is None:  # cancelled before it began, or in the middle of beginning
            end = attempt.stopped()
        if self._attempts.get(claimed.id) is attempt:
            del self._attempts[claimed.id]
            self._bursting.discard(claimed.id)
        self._busy[claimed.fn] -= 1
        self._finished.append((attempt, end))
        self.wake()
