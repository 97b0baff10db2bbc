"""Keep one program running: start it, wait until it serves, start it again when it ends.

starting ──ready──> ready ──ended──> waiting (back-off) ──> starting …
    any ──stop──> stopping ──> stopped
"""

import asyncio
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

from runtime.host.errors import ServerFailed
from runtime.host.journal import Journal
from runtime.host.ledger import Ledger
from runtime.host.life import Life, meaning
from runtime.host.program import Program

LOOK_SECONDS = 0.02
FIRST_DELAY_SECONDS = 0.2
LONGEST_DELAY_SECONDS = 15.0
LEAVE_SECONDS = 3.0
"""Whoever replaces a process waits this long for the former one to finish what it runs."""


class Keeper:
    """Keeps a program running until told to stop."""

    def __init__(
        self,
        program: Program,
        journal: Journal,
        ledger: Ledger,
        changed: Callable[[], None],
    ) -> None:
        self.program = program
        self.state = "stopped"
        self.restarts = 0
        self.life: Life | None = None
        self._journal, self._ledger, self._changed = journal, ledger, changed
        self._serves = asyncio.Event()
        self._stopping = False
        self._hurry = asyncio.Event()
        self._leaving: dict[Life, asyncio.Task[None]] = {}
        """Former lives that finish what they run."""
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it and wait until it serves.

        Raises:
            ServerFailed: it ended, or did not serve in time; with its last words.
        """
        self._stopping = False
        self._hurry.clear()
        self.life = await self._launch()
        try:
            await self._until_ready(self.life)
        except ServerFailed:
            self._stopping = True
            await self._end(self.life)
            self._set("failed")
            raise
        self._task = asyncio.create_task(self._keep(), name=f"keep {self.program.name}")

    async def serves(self) -> None:
        """Wait until it serves."""
        await self._serves.wait()

    async def replace(self) -> None:
        """Start a second process and, once it serves, stop the first: nobody is turned away.

        Raises:
            ServerFailed: the new one does not serve; the old one goes on.
        """
        fresh = await self._launch()
        try:
            await self._until_ready(fresh)
        except ServerFailed:
            await self._end(fresh)
            self._set("ready")
            raise
        former, self.life = self.life, fresh
        self._changed()
        if former is not None:
            await asyncio.wait({self._leave(former)}, timeout=LEAVE_SECONDS)

    async def retire(self) -> None:
        """Keep it no longer: it takes nothing more, finishes what it runs, and ends."""
        self._stopping = True
        self._hurry.set()
        if self.life is not None and self.life.alive:
            self._set("retiring")
            await self._leave(self.life)
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        self._set("stopped")

    async def stop(self, limit_seconds: float | None = None) -> None:
        """Stop it and keep it stopped; what does not stop within its time (or less) is killed."""
        self._stopping = True
        self._hurry.set()
        lives = {*self._leaving, *([self.life] if self.life else ())}
        if alive := [life for life in lives if life.alive]:
            self._set("stopping")
            await asyncio.gather(*(self._end(life, limit_seconds) for life in alive))
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._set("stopped")

    def kill(self) -> None:
        """End it now; `stop` returns soon after."""
        self._stopping = True
        for life in {*self._leaving, *([self.life] if self.life else ())}:
            life.kill()

    async def _keep(self) -> None:
        delay = FIRST_DELAY_SECONDS
        while not self._stopping:
            life = self.life
            assert life is not None  # noqa: S101 - start() made one
            code = await life.ended()
            self._ledger.remove(life.pid)
            if self._stopping:
                return
            if life is not self.life:
                continue  # it was replaced, as it should be
            self._serves.clear()
            self._set("waiting")
            if code not in self.program.quiet_codes:
                if life.steady:
                    delay = FIRST_DELAY_SECONDS
                self._say(f"ended ({meaning(code)}); starting it again in {delay:g} s")
                with suppress(TimeoutError):
                    async with asyncio.timeout(delay):
                        await self._hurry.wait()
                delay = min(delay * 2, LONGEST_DELAY_SECONDS)
            if self._stopping:
                return
            self.restarts += 1
            await self._start_again()

    async def _start_again(self) -> None:
        try:
            self.life = await self._launch()
        except OSError as error:
            self._say(f"cannot be started: {error.strerror}")
            return
        try:
            await self._until_ready(self.life)
            self._say("serves again", level="info")
        except ServerFailed as error:
            self._say(str(error))
            self.life.kill()

    async def _launch(self) -> Life:
        program = self.program
        if self.life is None or not self.life.alive:
            self._set("starting")
        process = await asyncio.create_subprocess_exec(
            *program.command(),
            env=dict(program.environment),
            cwd=program.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches the supervisor only
            pass_fds=program.descriptors,
            limit=256_000,
        )
        self._ledger.add(process.pid, program.stop_signal)
        assert process.stdout is not None  # noqa: S101 - asked for above
        follow = self._journal.follow(program.name, process.stdout, program.shown)
        return Life(process, asyncio.create_task(follow))

    async def _until_ready(self, life: Life) -> None:
        program = self.program
        deadline = time.monotonic() + program.ready_seconds
        while not await program.ready(life.pid):
            if not life.alive:
                code = await life.ended()
                raise ServerFailed(f"{program.name} does not start ({meaning(code)}){self._last()}")
            if time.monotonic() > deadline:
                seconds = f"{program.ready_seconds:g} s"
                raise ServerFailed(f"{program.name} does not serve after {seconds}{self._last()}")
            await asyncio.sleep(LOOK_SECONDS)
        life.serves_since = time.monotonic()
        self._serves.set()
        self._set("ready")

    def _leave(self, life: Life) -> "asyncio.Task[None]":
        """Let a life finish what it runs, however long that may take, in the background."""
        task = asyncio.create_task(self._retire(life))
        self._leaving[life] = task
        task.add_done_callback(lambda _: self._leaving.pop(life, None))
        return task

    async def _retire(self, life: Life) -> None:
        if self.program.retire_signal is not None:
            life.signal(self.program.retire_signal)
            with suppress(TimeoutError):
                async with asyncio.timeout(self.program.retire_seconds):
                    await life.ended()
        await self._end(life)

    async def _end(self, life: Life, limit_seconds: float | None = None) -> None:
        seconds = min(self.program.stop_seconds, limit_seconds or self.program.stop_seconds)
        life.signal(self.program.stop_signal)
        try:
            async with asyncio.timeout(seconds):
                await life.ended()
        except TimeoutError:
            if not self._stopping:
                self._say(f"did not stop in {seconds:g} s; killed")
            life.kill()
            await life.ended()
        self._ledger.remove(life.pid)

    def _last(self) -> str:
        lines = self._journal.last_words(self.program.name)
        return "".join(f"\n  {self.program.name}: {line}" for line in lines[-8:])

    def _say(self, text: str, level: str = "warning") -> None:
        self._journal.say(f"{self.program.name:<9} {text}", level=level)

    def _set(self, state: str) -> None:
        self.state = state
        self._changed()
