"""A whole Nexus for a bench: `nexus up` in a folder of its own, on free ports."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.host.stack import Stack, read_processes, read_stack

ROOT = Path(__file__).parents[1]
READY_SECONDS = 60
OURS = ("NEXUS_", "POSTGRES_", "REDIS_", "CHROMA_", "GATEWAY_", "PORT", "BENCH_")


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Running:
    """The stack, and its processes by name."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", folder: Path, environment: dict[str, str]
    ) -> None:
        self.process = process
        self.folder = folder
        self._environment = environment

    def environment(self) -> dict[str, str]:
        """Return what one more process needs to join."""
        return {**self._environment, **self.card.environment}

    @property
    def card(self) -> Stack:
        """Return addresses and secrets."""
        found = read_stack(self.folder)
        assert found is not None
        return found

    def pids(self) -> dict[str, int]:
        """Return the processes that live now, by name."""
        listed = read_processes(self.folder).get("processes", [])
        return {one["name"]: one["pid"] for one in listed if one["pid"]}

    def ready(self) -> bool:
        """Say whether everything is."""
        return bool(read_processes(self.folder).get("ready"))


@contextmanager
def stack(**environment: str) -> Iterator[Running]:
    """Run a stack until the block ends; its folder is deleted."""
    folder = Path(tempfile.mkdtemp(prefix="nexus-bench-"))
    folder.chmod(0o755)
    public, private = free_ports(2)
    ours = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    ours |= {
        "PYTHONPATH": str(ROOT),
        "PORT": str(public),
        "NEXUS_PRIVATE_PORT": str(private),
        "NEXUS_STATE_DIR": str(folder / "state"),
        **environment,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", "up"],
        cwd=ROOT,
        env=ours,
        stdin=subprocess.DEVNULL,
        stdout=(folder / "up.log").open("wb"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    running = Running(process, folder / "state", ours)
    try:
        _wait_ready(running, folder / "up.log")
        yield running
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if "BENCH_KEEP" in os.environ:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _wait_ready(running: Running, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not running.ready():
        if running.process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"the stack did not start:\n{log.read_text()}")
        time.sleep(0.1)
