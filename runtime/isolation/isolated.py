"""Runs attempts in children: hands out a warm one, waits, and kills one that does not answer."""

import asyncio
import signal
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from runtime.attempt import LOST, Attempt
from runtime.context import Shop
from runtime.emitter import Stream
from runtime.isolation.forks import SERVER_DIED, Child, ForkFailed, Forks, how
from runtime.isolation.wire import Preload, asked_of, finish_of, job
from runtime.logs import Log
from runtime.policy import Process
from state.dispatch import Asked
from state.ids import public_id
from state.work import Finish

log = Log("isolation")

GRACE_SECONDS = 0.3
"""A child ends an attempt by itself when its time is over; after this much more it is killed."""
STOP_SECONDS = 2.0
"""An attempt that was cancelled gets this long to end by itself."""
IDLE_SECONDS = 300.0
"""A child that had nothing to do for so long is let go."""
DEATH_SECONDS = 5.0


class Isolated:
    """The children of one worker."""

    def __init__(
        self, preload: Callable[[], Preload], stored: Callable[[list[Asked]], None]
    ) -> None:
        """Create it; nothing is started.

        Args:
            preload: what to tell a fork server.
            stored: called with events that a child's transaction has stored, to ring for them.
        """
        self._forks = Forks(preload)
        self._stored = stored
        self._idle: dict[str, list[Child]] = defaultdict(list)
        self._busy: set[Child] = set()
        self._doors_closed = False

    async def start(self) -> None:
        """Have the functions imported before the first attempt wants them."""
        await self._forks.start()

    def close_doors(self) -> None:
        """While draining, near the end: children start no writing step any more."""
        self._doors_closed = True
        for child in self._busy:
            child.tell(doors=True)

    async def aclose(self) -> None:
        """End every child."""
        await self._forks.aclose()

    async def run(
        self, attempt: Attempt, process: Process, shop: Shop | None, merged: Sequence[str]
    ) -> Finish:
        """Run an attempt in a child, and say how it ended."""
        name = attempt.function.name
        try:
            child = await self._child(name, process)
        except ForkFailed as error:
            return attempt.fail(str(error))
        self._busy.add(child)
        spent = True
        try:
            if self._doors_closed:
                child.tell(doors=True)
            child.tell(run=job(attempt.claimed, shop, merged), function=name)
            finish, spent = await self._outcome(child, attempt)
            return finish
        finally:
            self._busy.discard(child)
            if spent:
                self._forks.kill(child)
            else:
                self._rest(name, child)

    async def _child(self, name: str, process: Process) -> Child:
        """Return a warm child, or fork one."""
        idle = self._idle[name]
        while idle:
            child = idle.pop()
            if not child.gone.done():
                return child
        forking = asyncio.ensure_future(self._forks.fork(process.memory_mb))
        try:
            return await asyncio.shield(forking)
        except asyncio.CancelledError:
            forking.add_done_callback(lambda done: self._unneeded(name, done))
            raise

    def _unneeded(self, name: str, forking: "asyncio.Future[Child]") -> None:
        if not forking.cancelled() and forking.exception() is None:
            self._rest(name, forking.result())

    def _rest(self, name: str, child: Child) -> None:
        self._idle[name].append(child)
        turn = child.rested = child.rested + 1

        def let_go() -> None:
            if child.rested == turn and child in self._idle[name]:
                self._idle[name].remove(child)
                self._forks.kill(child)

        asyncio.get_running_loop().call_later(IDLE_SECONDS, let_go)

    async def _outcome(self, child: Child, attempt: Attempt) -> tuple[Finish, bool]:
        """Return the end, and whether the child is spent."""
        limit_seconds = attempt.function.policy.timeout
        answer = asyncio.ensure_future(self._answer(child, attempt))
        try:
            await asyncio.wait({answer}, timeout=limit_seconds + GRACE_SECONDS)
        except asyncio.CancelledError:
            child.tell(stop=attempt.stop or LOST)
            try:
                await asyncio.wait({answer}, timeout=STOP_SECONDS)
            except asyncio.CancelledError:
                log.debug("asked to stop twice: at once")
            if not answer.done():
                answer.cancel()
                log.warning("killed an attempt that did not stop", **_named(child, attempt))
                return attempt.stopped(), True
        if not answer.done():
            answer.cancel()
            log.warning("killed an attempt that did not end in time", **_named(child, attempt))
            return attempt.overdue(f"ran longer than {limit_seconds:g} s, and was killed"), True
        return answer.result()

    async def _answer(self, child: Child, attempt: Attempt) -> tuple[Finish, bool]:
        while (message := await child.hear()) is not None:
            if "stored" in message:
                self._stored(asked_of(message["stored"]))
            else:
                if message["emitted"]:
                    attempt.stream = Stream()  # followers are told of the end, as of any other
                return finish_of(message["end"]), message["spent"]
        self._forks.kill(child)  # if it is not dead: what says nothing more is of no use
        await asyncio.wait({child.gone}, timeout=DEATH_SECONDS)
        if not child.gone.done():  # a server that stands still: its answer would change nothing
            return attempt.crashed("its process fell silent"), True
        return _died(attempt, child.gone.result()), True


def _died(attempt: Attempt, code: int) -> Finish:
    """Return the end of an attempt whose process is gone."""
    if attempt.stop is not None:
        return attempt.stopped()
    if code == SERVER_DIED:  # and took all children with it: nobody knows whose fault it is
        attempt.stop = "its fork server died"
        return attempt.stopped()
    process = attempt.function.policy.process
    if code == -signal.SIGXCPU and process is not None:
        return attempt.overdue(f"used more than {process.cpu_seconds:g} s of CPU, and was killed")
    return attempt.crashed(f"its process {how(code)}")


def _named(child: Child, attempt: Attempt) -> dict[str, Any]:
    return {
        "id": public_id(attempt.claimed.id),
        "function": attempt.function.name,
        "pid": child.pid,
    }
