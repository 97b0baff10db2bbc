"""A whole installation under test: `nexus up`, as a person would start it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runtime.host.layout import HOME
from runtime.host.stack import Stack, read_processes, read_stack
from tests.servers import free_port

READY_SECONDS = 60


def wait_for(what: str, condition: Callable[[], Any], seconds: float = READY_SECONDS) -> Any:
    """Wait until a condition holds, and return what it returned."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not in {seconds:g} s: {what}"
        time.sleep(0.02)
    return found


def clean_environment() -> dict[str, str]:
    """The environment of this process, without settings of an installation."""
    ours = ("NEXUS_", "POSTGRES_", "REDIS_", "CHROMA_", "GATEWAY_", "UPSTREAM_")
    secrets = ("PORT", "ENCRYPTION_KEY", "INTERNAL_API_TOKEN", "ADMIN_TOKEN", "API_BASE_URL")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(ours) and name not in secrets
    }


class RunningStack:
    """A supervisor that was started, and what it says about itself."""

    def __init__(
        self,
        state: Path,
        environment: Mapping[str, str],
        command: Sequence[str] = (sys.executable, "-P", "-m", "gateway.cli"),
        home: Path = HOME,
    ) -> None:
        self.state = state
        self.home = home
        self.command = list(command)
        self.environment = {
            **clean_environment(),
            "PYTHONPATH": str(home),
            "NEXUS_STATE_DIR": str(state),
            "PORT": str(free_port()),
            "NEXUS_PRIVATE_PORT": str(free_port()),
            **environment,
        }
        self.printed = state.with_name(f"{state.name}.printed")
        self.start()

    def start(self) -> None:
        with self.printed.open("ab") as printed:
            self.process = subprocess.Popen(
                [*self.command, "up"],
                cwd=self.home,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self) -> Stack:
        def ready() -> Stack | None:
            assert self.process.poll() is None, self.output()
            stack = read_stack(self.state)
            ours = stack and stack.pid == self.process.pid
            return stack if ours and read_processes(self.state).get("ready") else None

        found: Stack = wait_for(f"ready\n{self.output()}", ready)
        return found

    def pid(self, name: str) -> int | None:
        listed = read_processes(self.state).get("processes", [])
        found: int | None = next(each["pid"] for each in listed if each["name"] == name)
        return found

    def pids(self) -> list[int]:
        listed = read_processes(self.state).get("processes", [])
        return [each["pid"] for each in listed if each["pid"]]

    def run(
        self,
        *arguments: str,
        timeout: float = 60,
        settings: Mapping[str, str] | None = None,
        text: str | None = None,
    ) -> "subprocess.CompletedProcess[str]":
        """Run another command of `nexus` on this stack, as from a second terminal.

        `text` is what is typed while it runs.
        """
        joined = {"NEXUS_STATE_DIR": str(self.state), "PYTHONPATH": str(self.home)}
        return subprocess.run(
            [*self.command, *arguments],
            cwd=self.home,
            env={**clean_environment(), **joined, **(settings or {})},
            input=text,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def output(self) -> str:
        return self.printed.read_text(errors="replace")

    def stop(self) -> float:
        """Press Ctrl-C; return how long it took to end."""
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return time.monotonic() - began


@contextmanager
def running_stack(
    state: Path, environment: Mapping[str, str] | None = None, **more: Any
) -> Iterator[RunningStack]:
    """Run `nexus up` until the block ends."""
    stack = RunningStack(state, environment or {}, **more)
    try:
        yield stack
    finally:
        stack.stop()
