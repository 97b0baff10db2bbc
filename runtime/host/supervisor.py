"""Run a plan: start everything in order, keep it running, stop it in order.

Servers start first, all at once; the database is migrated; then our processes. Stopping goes the
other way round, within the plan's limits. SIGHUP replaces our processes one after the other.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable

from runtime.host.errors import HostFault
from runtime.host.fleet import Fleet
from runtime.host.journal import Journal
from runtime.host.keeper import Keeper
from runtime.host.ledger import Ledger
from runtime.host.plan import Plan
from runtime.host.program import Program
from runtime.host.requests import answer, take_requests
from runtime.host.scaling import Scaling
from runtime.host.stack import remove_stack, write_processes, write_stack

Migrate = Callable[[], Awaitable[object]]


class Supervisor:
    """Runs everything of one installation on this machine."""

    def __init__(self, plan: Plan, journal: Journal, ledger: Ledger, migrate: Migrate) -> None:
        self._plan, self._journal, self._migrate = plan, journal, migrate
        self._stop = asyncio.Event()
        self._asked_to_stop = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._ready = False
        self._terminal = sys.stderr.isatty()

        def keeper_of(program: Program) -> Keeper:
            return Keeper(program, journal, ledger, self._tell)

        self._servers = [keeper_of(program) for program in plan.embedded.programs()]
        self._processes = [keeper_of(program) for program in plan.processes]
        self._fleet = Fleet(plan.worker_of, keeper_of, journal)
        self._scaling = Scaling(
            plan.stack.environment["POSTGRES_DSN"],
            self._fleet,
            plan.scale_seconds,
            self._tell,
            plan.elsewhere,
        )

    async def run(self, when_ready: Callable[[], None]) -> None:
        """Start everything, tell so, and keep it running until a signal says stop.

        `when_ready` greets the terminal; only then do the files of this stack say `ready`, so
        that whoever waits for the word finds the greeting printed.

        Raises:
            ServerFailed: something does not start; everything else is stopped again.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop_asked)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        write_stack(self._plan.layout, self._plan.stack)
        stopping = asyncio.create_task(self._stop.wait())
        starting = asyncio.create_task(self._start(when_ready))
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                await starting
                await stopping
        finally:
            starting.cancel()
            stopping.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)
            await self._stop_all()

    async def restart(self, name: str | None) -> None:
        """Replace our processes, or one program by name.

        Raises:
            HostFault: there is no such program.
            ServerFailed: the new one does not serve; the old one goes on.
        """
        ours = [*self._processes, *self._fleet.keepers()]
        chosen = [keeper for keeper in ours if keeper.program.name != "web"]
        if name is not None:
            everything = [*self._servers, *ours]
            chosen = [keeper for keeper in everything if keeper.program.name == name]
            if not chosen:
                names = ", ".join(keeper.program.name for keeper in everything)
                raise HostFault(f"nothing here is called {name}; there are {names}")
        for keeper in chosen:
            if keeper in ours and not keeper.program.alone:
                await keeper.replace()
            else:
                await keeper.stop()
                await keeper.start()
            self._journal.say(f"{keeper.program.name:<9} restarted")

    async def _start(self, when_ready: Callable[[], None]) -> None:
        await _all(keeper.start() for keeper in self._servers)
        await self._migrate()
        await _all(keeper.start() for keeper in self._processes)
        when_ready()
        self._ready = True
        self._tell()
        self._tasks.add(asyncio.create_task(self._scaling.run(), name="scaling"))

    async def _stop_all(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._ready = False
        self._plan.doors.close_to_callers()
        limits = self._plan.limits
        ours = [keeper.stop(limits.processes_seconds) for keeper in self._processes]
        await _all([*ours, self._fleet.stop(limits.processes_seconds)])
        await _all(keeper.stop(limits.servers_seconds) for keeper in self._servers)
        remove_stack(self._plan.layout)
        self._plan.doors.close()

    def _stop_asked(self) -> None:
        self._asked_to_stop += 1
        self._stop.set()
        if self._asked_to_stop == 1:
            self._journal.say("\nstopping; once more to stop now")
        else:
            for keeper in (*self._processes, *self._fleet.keepers(), *self._servers):
                keeper.kill()

    def _hang_up(self) -> None:
        if self._terminal and not _terminal_lives():
            self._stop_asked()
            return
        task = asyncio.create_task(self._answer_requests())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer_requests(self) -> None:
        """Do what `nexus restart` wrote down; a bare SIGHUP means everything."""
        requests = take_requests(self._plan.layout)
        async with self._turn:
            for request in requests:
                problem = ""
                try:
                    await self.restart(request.name)
                except (HostFault, OSError) as error:
                    problem = str(error)
                    self._journal.say(problem, level="error")
                answer(self._plan.layout, request, problem)

    def _tell(self) -> None:
        keepers = [*self._servers, *self._processes]
        said = {
            "ready": self._ready and all(keeper.state == "ready" for keeper in keepers),
            "at": time.time(),
            "processes": [
                {
                    "name": keeper.program.name,
                    "pid": keeper.life.pid if keeper.life and keeper.life.alive else None,
                    "state": keeper.state,
                    "restarts": keeper.restarts,
                    "started_at": keeper.life.started_at if keeper.life else None,
                }
                for keeper in (*keepers, *self._fleet.keepers())
            ],
            "scaling": [decision._asdict() for decision in self._scaling.decisions],
        }
        with contextlib.suppress(OSError):  # a full disk must not stop what runs
            write_processes(self._plan.layout, said)


async def _all(starts: Iterable[Coroutine[None, None, None]]) -> None:
    """Start several at once; when one fails, wait for none and raise its error."""
    tasks = [asyncio.create_task(start) for start in starts]
    try:
        for done in asyncio.as_completed(tasks):
            await done
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _terminal_lives() -> bool:
    try:
        os.tcgetpgrp(sys.stderr.fileno())
    except OSError:
        return False
    return True
