"""One process of a program, from start to end."""

import asyncio
import os
import signal
import time
from contextlib import suppress

from runtime.host.processes import family

STEADY_SECONDS = 5.0
"""A program that served this long has not failed to start: the back-off begins anew."""


class Life:
    """One process of a program, from start to end."""

    def __init__(self, process: asyncio.subprocess.Process, output: "asyncio.Task[None]") -> None:
        self.process = process
        self.pid = process.pid
        self.started_at = time.time()
        self.serves_since: float | None = None
        """By the monotonic clock; None: it does not serve yet."""
        self._output = output

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.process.returncode is None

    @property
    def steady(self) -> bool:
        """Whether it has served for long enough not to be one that fails at once."""
        since = self.serves_since
        return since is not None and time.monotonic() - since > STEADY_SECONDS

    async def ended(self) -> int:
        """Wait for its end and its last words; return the exit code."""
        code = await self.process.wait()
        with suppress(TimeoutError):  # a grandchild may hold the pipe open
            async with asyncio.timeout(0.5):
                await asyncio.shield(self._output)
        return code

    def signal(self, number: int) -> None:
        """Send a signal, if it still lives."""
        if self.alive:
            with suppress(ProcessLookupError):
                self.process.send_signal(number)

    def kill(self) -> None:
        """End it and all it started, now."""
        if self.alive:
            for pid in reversed(family(self.pid)):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)


def meaning(code: int) -> str:
    """Return what an exit code says."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
