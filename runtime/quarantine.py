"""Quarantine: processes in which suspects of a crash run again, one attempt each.

A crash with many attempts under way only marks suspects. They run alone, in a process of their
own, so that the next crash has exactly one culprit.
"""

import asyncio
import os
import sys
from collections.abc import Sequence

from runtime.logs import Log

log = Log("quarantine")

COMMAND = ("-m", "gateway.cli", "work", "--quarantine")
IDLE_SECONDS = 10.0
"""A quarantine process without suspects ends after this."""


class Quarantine:
    """Starts quarantine processes when suspects wait, and ends them with the worker."""

    def __init__(self, functions: Sequence[str], processes: int) -> None:
        self._functions = list(functions)
        self._most = processes
        self._children: set[asyncio.Task[None]] = set()
        self._processes: set[asyncio.subprocess.Process] = set()
        self._closing = False

    def wanted(self) -> None:
        """Suspects wait: start a process unless enough are running."""
        if not self._closing and len(self._children) < self._most:
            child = asyncio.create_task(self._run())
            self._children.add(child)
            child.add_done_callback(self._children.discard)

    async def aclose(self, limit_seconds: float) -> None:
        """Drain the processes; those that take longer are killed."""
        self._closing = True
        for process in self._processes:
            if process.returncode is None:
                process.terminate()
        if self._children:
            await asyncio.wait(self._children, timeout=limit_seconds)
        for process in self._processes:
            if process.returncode is None:
                process.kill()
        if self._children:
            await asyncio.wait(self._children, timeout=2)

    async def _run(self) -> None:
        log.info("suspects of a crash run again, alone")
        process = await asyncio.create_subprocess_exec(
            sys.executable, *COMMAND, *self._functions, stdin=asyncio.subprocess.DEVNULL
        )
        self._processes.add(process)
        try:
            code = await process.wait()
            if code not in (0, 75):
                log.warning("a quarantine process died", code=code)
        finally:
            self._processes.discard(process)


class Orphaned:
    """Tells a quarantine process when the worker that started it is gone."""

    def __init__(self) -> None:
        self._parent = os.getppid()

    def __bool__(self) -> bool:
        """Say whether our parent is another process than at the start."""
        return os.getppid() != self._parent
