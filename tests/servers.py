"""Real servers for the tests: the embedded ones, on free ports, once per session."""

import asyncio
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from runtime.host.chroma import Chroma
from runtime.host.ports import listening
from runtime.host.postgres import Postgres
from runtime.host.program import Program
from runtime.host.valkey import Valkey


class Running:
    """A started program: its process, and its output."""

    def __init__(self, program: Program, log: Path) -> None:
        self.program = program
        self.log = log
        self.process = self._start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_ready(self) -> None:
        deadline = time.monotonic() + self.program.ready_seconds
        while not elsewhere(self._ready):
            code = self.process.poll()
            assert code is None, f"{self.program.name} ended with {code}:\n{self.output()}"
            assert time.monotonic() < deadline, f"{self.program.name} is not ready"
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill -9, as a crash would."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Start it again after it ended."""
        deadline = time.monotonic() + self.program.ready_seconds
        while True:  # Postgres refuses while backends of its last life are still there
            self.process = self._start()
            try:
                self.wait_ready()
            except AssertionError:
                assert time.monotonic() < deadline
                continue
            return

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(self.program.stop_signal)
            try:
                self.process.wait(self.program.stop_seconds)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    async def _ready(self) -> bool:
        return await self.program.ready(self.pid)

    def _start(self) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as output:
            return subprocess.Popen(
                self.program.command(),
                env=dict(self.program.environment),
                cwd=self.program.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=self.program.descriptors,
            )


def elsewhere(ask: Callable[[], Coroutine[Any, Any, bool]]) -> bool:
    """Run a coroutine in a loop of its own, also from a test that has one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(ask())).result()


@contextmanager
def running(program: Program, folder: Path) -> Iterator[Running]:
    """Run a program until the block ends. The kernel ends it too when this process is killed."""
    with ExitStack() as stack:
        started = Running(program, folder / f"{program.name}.log")
        stack.callback(started.stop)
        started.wait_ready()
        yield started


def free_port() -> int:
    """Return a port that no client's connection takes before its server does: below those."""
    while True:
        found = listening(random.randrange(10_000, 32_000))
        if found is not None:
            with found:
                return int(found.getsockname()[1])


def new_postgres(folder: Path) -> Postgres:
    folder.mkdir(mode=0o700)
    server = Postgres(folder, free_port(), "tests-only")
    server.prepare()
    return server


def new_valkey(folder: Path) -> Valkey:
    folder.mkdir(mode=0o700)
    server = Valkey(folder, free_port(), "tests-only")
    server.prepare()
    return server


def new_chroma(folder: Path) -> Chroma:
    folder.mkdir(mode=0o700)
    return Chroma(folder, free_port())
