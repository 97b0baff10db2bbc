"""The worker's lease: a thread with its own event loop and connection.

It renews the lease and sweeps the dead even while a handler blocks the main loop, and names the
line that blocks it. When the lease is lost, the process has to end.
"""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runtime.errors import LeaseLost, ServerAway
from runtime.logs import Log
from state import leases
from state.database import ENGINE, Connection, connect
from state.errors import StateFault, WorkerEnded, translated
from state.scaling import note_service

log = Log("lease")

EXIT_LEASE_LOST = 75
EXIT_BLOCKED = 76
SWEEP_SECONDS = 1.0
DOUBTFUL_SECONDS = 0.5
BLOCKED_SECONDS = 0.5
STACK_FRAMES = 12
SETTLE_SECONDS = 3.0
"""After our own connection broke, the others get this long to be back before they count as dead."""
ADRIFT_SHARE = 2 / 3
"""A worker that could not renew for this part of its lease stops what it runs by itself."""
GOODBYE_SECONDS = 3.0
CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # counts the time of a suspend


@dataclass(frozen=True)
class Signals:
    """What the lease tells the worker; each is called on the main loop."""

    lost: Callable[[], None]
    """We were declared dead."""
    adrift: Callable[[], None]
    """We could not renew for too long."""
    cancel: Callable[[list[int]], None]
    """Somebody wants these running invocations to end."""
    suspects: Callable[[], None]
    """Suspects of a crash wait for a worker that runs one attempt at a time."""


class Lease:
    """One life of a worker."""

    def __init__(
        self,
        dsn: str,
        *,
        seconds: float,
        blocked_seconds: float,
        solo: bool,
        roles: bool,
        fns: Sequence[int],
    ) -> None:
        self._dsn, self._seconds, self._solo = dsn, seconds, solo
        self._blocked_seconds = blocked_seconds
        self._role = ENGINE if roles else None
        self._fns = list(fns)
        self.worker = 0
        """Our number, once started."""
        self.pulse = time.monotonic()
        """Set by the main loop again and again; an old one means that it is blocked."""
        self.ended: dict[int, tuple[int, float]] = {}
        """Set by the main loop: attempts that ended here by function, and their seconds."""
        self._noted: dict[int, tuple[int, float]] = {}
        self._main_loop: asyncio.AbstractEventLoop
        self._signals: Signals
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._main_thread = threading.get_ident()
        self._born: asyncio.Future[int]
        self._named_blocked = False
        self._awake_at = 0.0
        """When the whole process last went on after it had stood still."""
        self._trust_from = 0.0

    async def start(self, signals: Signals) -> int:
        """Begin the life; returns the worker's number.

        Raises:
            ServerAway: Postgres does not answer.
        """
        self._main_loop = asyncio.get_running_loop()
        self._signals = signals
        self._born = self._main_loop.create_future()
        self._thread.start()
        try:
            return await self._born
        except asyncio.CancelledError:
            self._end.set()
            raise

    async def stop(self) -> None:
        """End the life in order: whatever we still hold is free, and nothing is blamed."""
        self._end.set()
        await asyncio.to_thread(self._thread.join, GOODBYE_SECONDS)

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        except LeaseLost:
            self._call(self._signals.lost)
            # Main gets five seconds; a blocked main must not go on as if it owned its work.
            if not self._end.wait(5):
                log.error("the lease is lost and the event loop is blocked; ending the process")
                os._exit(EXIT_LEASE_LOST)

    async def _live(self) -> None:
        try:
            connection = await self._connect()
            with translated():
                self.worker = await leases.register_worker(connection, self._seconds, self._solo)
        except StateFault as error:
            self._call(self._be_born, ServerAway(f"Postgres does not answer ({error})"))
            return
        self._call(self._be_born, None)
        renewed = time.clock_gettime(CLOCK)
        while not self._end.is_set():
            try:
                if connection.is_closed():
                    connection = await self._connect()
                    self._trust_from = time.monotonic() + SETTLE_SECONDS
                    with translated():
                        await leases.retake_lock(connection, self.worker)
                renewed, pause = await self._beat(connection, renewed)
            except WorkerEnded:
                raise LeaseLost from None
            except StateFault:
                pause = DOUBTFUL_SECONDS
                connection.terminate()
            if time.clock_gettime(CLOCK) - renewed > self._seconds * ADRIFT_SHARE:
                self._call(self._signals.adrift)
            await self._wait(pause)
        await self._leave(connection)

    def _be_born(self, fault: ServerAway | None) -> None:
        if self._born.done():  # nobody waits any more
            return
        if fault is None:
            self._born.set_result(self.worker)
        else:
            self._born.set_exception(fault)

    async def _beat(self, connection: Connection, renewed: float) -> tuple[float, float]:
        """Renew when due, sweep, and hear what people want; returns (renewed at, pause)."""
        with translated():
            at = time.clock_gettime(CLOCK)
            if at - renewed >= min(self._seconds / 6, 5) - 0.01:
                if not await leases.renew(connection, self.worker, self._seconds):
                    raise LeaseLost
                renewed = at
                if self.ended != self._noted:
                    self._noted = self.ended
                    await note_service(connection, self.worker, self._noted)
            trust = time.monotonic() >= self._trust_from
            swept = await leases.sweep(connection, self.worker, trust)
            if swept.reaped:
                log.warning("took back the work of a dead worker", rows=swept.reaped)
            if not self._solo and await leases.suspects_wait(connection, self._fns):
                self._call(self._signals.suspects)
            asked = await leases.asked_to_cancel(connection, self.worker)
            if asked:
                self._call(self._signals.cancel, asked)
        pause = DOUBTFUL_SECONDS if swept.doubtful else min(SWEEP_SECONDS, self._seconds / 6)
        return renewed, pause

    async def _wait(self, seconds: float) -> None:
        """Sleep, and meanwhile watch the main loop."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._end.is_set():
            began = time.monotonic()
            await asyncio.sleep(min(0.1, left))
            if time.monotonic() - began > 1:
                self._awake_at = time.monotonic()  # the whole process stood still
            self._watch(time.monotonic() - max(self.pulse, self._awake_at))

    def _watch(self, silent_seconds: float) -> None:
        """Name what blocks the main loop; past the limit, leave it to other processes."""
        if silent_seconds < BLOCKED_SECONDS:
            self._named_blocked = False
            return
        if not self._named_blocked:
            self._named_blocked = True
            log.warning(
                "the event loop is blocked: everything else of this worker waits",
                seconds=round(silent_seconds, 1),
                where=_line_of(self._main_thread),
                stack=_stack_of(self._main_thread),
            )
        if 0 < self._blocked_seconds < silent_seconds:
            log.error(
                "the event loop stays blocked; this worker ends, and its work goes on elsewhere",
                seconds=round(silent_seconds, 1),
                where=_line_of(self._main_thread),
            )
            os._exit(EXIT_BLOCKED)  # as a crash: what ran here runs again alone, and has its cause

    async def _leave(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(GOODBYE_SECONDS - 1):
                if connection.is_closed():
                    connection = await self._connect()
                with translated():
                    await leases.leave(connection, self.worker)
                await connection.close()
        except (StateFault, TimeoutError):
            connection.terminate()  # the others will find the lease free

    async def _connect(self) -> Connection:
        return await connect(self._dsn, application="nexus lease", role=self._role)

    def _call(self, callback: Callable[..., None], *arguments: object) -> None:
        if not self._main_loop.is_closed():
            self._main_loop.call_soon_threadsafe(callback, *arguments)


def _line_of(thread: int) -> str:
    """Return where a thread is: the innermost line that is not of the standard library."""
    frame = sys._current_frames().get(thread)
    library = os.path.dirname(os.__file__)
    innermost = frame
    while frame is not None and frame.f_code.co_filename.startswith(library):
        frame = frame.f_back
    frame = frame or innermost
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "unknown"


def _stack_of(thread: int) -> str:
    """Return the innermost lines of a thread, the innermost first. Lines of code, no values."""
    lines: list[str] = []
    frame = sys._current_frames().get(thread)
    while frame is not None and len(lines) < STACK_FRAMES:
        code = frame.f_code
        lines.append(f"{code.co_filename}:{frame.f_lineno} {code.co_name}")
        frame = frame.f_back
    return " < ".join(lines)
