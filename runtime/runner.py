"""What happens in a worker process: attempts run, bells are heard, the end is orderly."""

import asyncio
import math
import random
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

from runtime.admission import Admission
from runtime.attempt import BY_REQUEST, LOST, SUPERSEDED, Attempt
from runtime.errors import LeaseLost
from runtime.function import Function
from runtime.isolation.isolated import Isolated
from runtime.isolation.wire import Preload
from runtime.lease import EXIT_LEASE_LOST, Lease, Signals
from runtime.line import dsn_of
from runtime.logs import Log
from runtime.platform import AttemptPlatform, Services, ring
from runtime.policy import Merge, Supersede
from runtime.pool import Pool
from runtime.quarantine import IDLE_SECONDS, Orphaned, Quarantine
from runtime.settings import Settings
from runtime.shops import Shops
from runtime.steps import patiently
from runtime.time_limits import TimeLimits
from runtime.turns import LISTENING, Turns
from state.errors import DatabaseAway
from state.leases import asked_to_cancel
from state.work import Claimed, Finish, Line, events_of, newer_than

log = Log("worker")

LOOK_SECONDS = 1.0
PULSE_SECONDS = 0.1
BUSY_SECONDS, BUSY_AT_MOST_SECONDS = 0.01, 0.1
DOORS_SHARE = 0.6
"""While draining: after this part of the time, no new writing step starts."""
LAST_TURN_SECONDS = 5.0


class Runner:
    """Runs the attempts of one process until told to stop."""

    def __init__(
        self,
        settings: Settings,
        services: Services,
        served: dict[int, Function[Any]],
        lease: Lease,
        solo: bool,
    ) -> None:
        self._settings, self._services, self._lease = settings, services, lease
        self._solo = solo
        self._shops = Shops(services.database)
        self._admission = Admission(services.database, services.worker, services.numbered.numbers)
        self._limits = TimeLimits()
        self._names = {fn: function.name for fn, function in served.items()}
        self._isolated = Isolated(
            lambda: Preload.of(
                settings, services.numbered.numbers, services.worker, services.database.roles
            ),
            lambda asked: ring(services, asked),
        )
        self._rung: set[str] = set()
        self._stopping = asyncio.Event()
        self._busy_at = time.monotonic()
        self._tasks: set[asyncio.Task[None]] = set()
        self.code = 0
        self.pool = Pool(served, self._attempt, 1 if solo else None)
        self.pool.streamed = services.emitter.ended
        self.pool.born = lambda asked: ring(services, asked)
        self.turns = Turns(
            self.pool,
            dsn_of(settings),
            services.worker,
            roles=services.database.roles,
            alone=solo,
            told=self._told,
            claimed=self._claimed,
        )
        self.quarantine = Quarantine(
            sorted(set(self._names.values())), _quarantines(settings, solo)
        )

    async def run(self, background: Sequence[Any]) -> int:
        """Work until told to stop; returns the exit code."""
        turns = asyncio.create_task(self.turns.run())
        others = [asyncio.create_task(self._tick()), asyncio.create_task(self._pulse())]
        others += [asyncio.create_task(each) for each in background]
        if not self._solo and any(each.policy.process for each in self.pool.served.values()):
            others.append(asyncio.create_task(self._isolated.start()))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({turns, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if turns.done():  # it retired, or broke
                await self.quarantine.aclose(self._settings.drain_seconds)
            else:
                await self._drain(turns)
            if not turns.cancelled():
                await turns
        except LeaseLost:
            self._lost()
        finally:
            for task in (stopping, turns, *others):
                task.cancel()
            await asyncio.gather(stopping, turns, *others, return_exceptions=True)
            await self._isolated.aclose()
            self._admission.close()
            self._lease.pulse = math.inf  # nobody pulses any more, and nothing is blocked
        return self.code

    def stop(self) -> None:
        """Drain; the second time: hand everything back now."""
        if self._stopping.is_set():
            self.pool.hand_back_all()
        self._stopping.set()

    def retire(self) -> None:
        """Take nothing more, and end once everything here has ended, however long that takes."""
        log.info("retiring: no new work", running=self.pool.running())
        self.pool.drain()

    def signals(self) -> Signals:
        """Return what the lease is to call."""
        return Signals(
            lost=self._lost,
            adrift=lambda: self.pool.stop_all(LOST),
            cancel=lambda ids: self.pool.stop(ids, BY_REQUEST),
            suspects=self.quarantine.wanted,
        )

    def heard(self, name: str) -> None:
        """Hear a bell: look at that function's work."""
        self._rung.add(name)
        self.pool.bells_in_vain += 1
        self.pool.look(fn for fn, known in self._names.items() if known == name)

    def bell_pause_seconds(self) -> float:
        """Return how long bells may ring unheard: under load each would be looked after alone.

        Longer while they ring in vain: what they ring for stands in lanes of ours, has no place, or
        was taken by others.
        """
        if not self.pool.running():
            return 0
        return min(BUSY_SECONDS * self.pool.bells_in_vain, BUSY_AT_MOST_SECONDS)

    async def _drain(self, turns: "asyncio.Task[None]") -> None:
        """Finish what runs, within the limit; hand back the rest."""
        limit = self._settings.drain_seconds
        log.info("stopping: no new work", running=self.pool.running(), limit_seconds=limit)
        self.pool.drain()
        quarantine = asyncio.create_task(self.quarantine.aclose(limit))
        await asyncio.wait({turns}, timeout=limit * DOORS_SHARE)
        self._services.steps.closing_doors = True
        self._isolated.close_doors()
        await asyncio.wait({turns}, timeout=limit * (1 - DOORS_SHARE))
        if not turns.done():
            log.info("handing back what still runs", running=self.pool.running())
            self.pool.hand_back_all()
            await asyncio.wait({turns}, timeout=LAST_TURN_SECONDS)
        await quarantine
        if not turns.done():
            log.warning("leaving with attempts that do not end; they will run again elsewhere")
            turns.cancel()
            await asyncio.wait({turns})

    def _lost(self) -> None:
        """Stop everything: our work belongs to others now."""
        if self.code == 0:
            log.warning("this worker was declared dead; stopping", worker=self._services.worker)
        self.code = EXIT_LEASE_LOST
        self.pool.stop_all(LOST)
        self._settings = self._settings.model_copy(update={"drain_seconds": 0.0})
        self._stopping.set()

    async def _attempt(self, attempt: Attempt) -> Finish:
        """Run one attempt."""
        claimed = attempt.claimed
        finish = await self._admission.refused(attempt)
        merged: list[str] = []
        if claimed.merged and finish is None and isinstance(attempt.function.policy.burst, Merge):
            merged = await patiently(lambda: self._events(claimed.merged or ()))
        if finish is None:
            shop = await self._shops.numbered(claimed.tenant)
            if (process := attempt.function.policy.process) is not None:
                finish = await self._isolated.run(attempt, process, shop, merged)
            else:
                platform = AttemptPlatform(attempt, self._services)
                finish = await attempt.run(shop, merged, platform, self._limits)
        return finish

    async def _events(self, ids: Sequence[int]) -> list[str]:
        async with self._services.database.engine() as connection:
            return await events_of(connection, ids)

    def _claimed(self, claimed: list[Claimed]) -> None:
        """Take answered bells off their lists."""
        self._busy_at = time.monotonic()
        counts: dict[str, int] = {}
        for one in claimed:
            name = self._names[one.fn]
            counts[name] = counts.get(name, 0) + 1
        for name, count in counts.items():
            # A bell that we heard is already off its list.
            left = count - (name in self._rung)
            self._rung.discard(name)
            if left:
                self._services.ringer.answered(name, left)

    def _told(self, payload: str) -> None:
        if payload == "cancel":
            self._later(self._obey())
        elif payload.isdigit():
            self.pool.look([int(payload)])
        elif payload.startswith("paused:"):
            self._services.providers.heard(payload)
        elif payload == LISTENING:
            self._services.providers.forget()
        elif payload.startswith(f"newer:{self._services.worker}:"):
            tenant, lane = payload.split(":")[2:]
            self.pool.newer(int(tenant), int(lane))
            self._later(self._supersede())

    def _later(self, doing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _supersede(self) -> None:
        """End what runs though a newer event of its lane has come."""
        running = {
            Line(one.claimed.tenant, one.claimed.lane or 0, one.claimed.fn, one.claimed.id): one
            for one in self.pool.bursting()
            if isinstance(one.function.policy.burst, Supersede)
        }
        if not running:
            return
        with suppress(DatabaseAway):
            async with self._services.database.engine() as connection:
                found = await newer_than(connection, list(running))
            for place in {place for place, _, _ in found}:
                list(running.values())[place].cancel(SUPERSEDED)

    async def _obey(self) -> None:
        with suppress(DatabaseAway):
            async with self._services.database.engine() as connection:
                asked = await asked_to_cancel(connection, self._services.worker)
            self.pool.stop(asked, BY_REQUEST)

    async def _tick(self) -> None:
        """Look into Postgres once a second, bell or no bell."""
        orphaned = Orphaned()
        before: set[str] = set()
        while True:
            # Not in step with other workers: else the same one would be first at everything.
            await asyncio.sleep(LOOK_SECONDS * random.uniform(0.95, 1.05))  # noqa: S311 - jitter
            for name in before & self._rung:  # rang a second ago, and there was nothing
                self._services.ringer.clear(name)
                self._rung.discard(name)
            before = set(self._rung)
            self.pool.look_at_all()
            if self.pool.bursting():
                self._later(self._supersede())
            if self.pool.running():
                self._busy_at = time.monotonic()
            idle = time.monotonic() - self._busy_at > IDLE_SECONDS
            if self._solo and (idle or orphaned) and not self._stopping.is_set():
                self.stop()

    async def _pulse(self) -> None:
        """Show the lease's thread that this loop is not blocked."""
        while True:
            self._lease.pulse = time.monotonic()
            self._lease.ended = dict(self.pool.ended)
            await asyncio.sleep(PULSE_SECONDS)


def _quarantines(settings: Settings, solo: bool) -> int:
    return 0 if solo else settings.quarantine_processes
