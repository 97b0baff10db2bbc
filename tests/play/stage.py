"""Start a deployment, look at it from outside, and stop it as its platform does."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtime.host.chroma import Chroma
from runtime.host.postgres import Postgres
from runtime.host.valkey import Valkey
from tests.play.boxes import STAGE, USER, Box
from tests.play.deployment import SECRETS, Deployment, Service
from tests.play.doors import look, serves
from tests.play.names import resolving
from tests.servers import running

READY_SECONDS = 120
ONCE_SECONDS = 60
GRACE_SECONDS = 5
"""After its time a platform kills; here it is only waited for a little longer, to say how long."""


@dataclass
class Played:
    """How one service did."""

    name: str
    ready_seconds: float | None = None
    stop_seconds: float | None = None
    limit_seconds: float | None = None
    code: int | None = None


class Failed(Exception):
    """The deployment does not do what its file promises; the text says what, and the logs' end."""


class Stage:
    """The services of one deployment, running."""

    def __init__(self, deployment: Deployment, checkout: Path) -> None:
        self.deployment = deployment
        self.logs = STAGE / "logs"
        self.logs.mkdir()
        self.played: dict[str, Played] = {}
        self.boxes: dict[str, Box] = {}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        for service in deployment.services:
            self.boxes[service.name] = Box(
                service.name,
                deployment.home,
                checkout,
                {folder: volume(name) for folder, name in service.volumes.items()},
                resolver=deployment.resolver,
                read_only=service.read_only,
            )

    def start(self) -> None:
        """Start everything in the order of the file, and wait until it serves."""
        began = time.monotonic()
        for service in self.deployment.services:
            if service.before:
                self._run(service, service.before)
            if service.once:
                self._run(service, service.command)
                continue
            self.played[service.name] = Played(service.name, limit_seconds=service.stop_seconds)
            log = self.logs / f"{service.name}.log"
            self.running[service.name] = self.boxes[service.name].start(
                service.command, service.environment, log
            )
        while not (serves(self.deployment) and self._all_obey()):
            for name, process in self.running.items():
                if process.poll() is not None:
                    raise Failed(f"{name} ended with {process.returncode}\n{self.output(name)}")
            if time.monotonic() - began > READY_SECONDS:
                raise Failed(f"not ready after {READY_SECONDS} s\n{self.output()}")
            time.sleep(0.1)
        for played in self.played.values():
            played.ready_seconds = time.monotonic() - began

    def ask(self) -> None:
        """Put the platform's own questions, and ours."""
        for service in self.deployment.services:
            if service.probe:
                self._run(service, service.probe)
        for problem in look(self.deployment):
            raise Failed(f"{problem}\n{self.output()}")

    def stop(self) -> None:
        """Send each its signal, the last started first; each has to end in time, with 0."""
        for service in reversed([s for s in self.deployment.services if s.name in self.running]):
            process, played = self.running[service.name], self.played[service.name]
            began = time.monotonic()
            process.send_signal(service.stop_signal)
            try:
                played.code = process.wait(service.stop_seconds + GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                raise Failed(f"{service.name} does not stop\n{self.output()}") from None
            played.stop_seconds = time.monotonic() - began
            if played.code or played.stop_seconds > service.stop_seconds:
                raise Failed(
                    f"{service.name} ended with {played.code} after {played.stop_seconds:.1f} s;"
                    f" its platform gives {service.stop_seconds:g} s\n{self.output()}"
                )

    def strays(self) -> list[str]:
        """Return what was written outside of what the file declares."""
        return [f"{name}: {path}" for name, box in self.boxes.items() for path in box.strays()]

    def end(self) -> None:
        """Kill what is left."""
        for process in self.running.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def output(self, name: str = "*") -> str:
        """Return the end of every log, or of one service's."""
        files = sorted(self.logs.glob(f"{name}.log"))
        return "\n".join(f"--- {file.stem}\n{file.read_text()[-1500:]}" for file in files)

    def _all_obey(self) -> bool:
        """Say whether every process has come so far that it knows its stop signal."""
        known = {service.name: service.stop_signal for service in self.deployment.services}
        return all(
            catches(Path(f"/proc/{process.pid}/status").read_text(), known[name])
            for name, process in self.running.items()
            if process.poll() is None
        )

    def _run(self, service: Service, command: list[str]) -> None:
        log = self.logs / f"{service.name}.log"
        process = self.boxes[service.name].start(command, service.environment, log)
        if process.wait(ONCE_SECONDS):
            raise Failed(f"{command} ended with {process.returncode}\n{self.output()}")


def catches(status: str, number: int) -> bool:
    """Say whether a process has a handler for a signal, from what the kernel says of it.

    >>> catches("SigCgt:\\t0000000000004002\\n", 15), catches("SigCgt:\\t0000000000000002\\n", 15)
    (True, False)
    """
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def volume(name: str) -> Path:
    """Return the folder of a volume, which belongs to the box's user as a fresh one would."""
    folder = STAGE / "volumes" / name
    if not folder.exists():
        folder.mkdir(parents=True)
        os.chown(folder, USER, USER)
    return folder


@contextmanager
def servers(deployment: Deployment) -> Iterator[None]:
    """Run what the platform gives: Postgres, Redis, a resolver; Chroma where nobody else does."""
    folder = STAGE / "servers"
    folder.mkdir(mode=0o711)
    found: list[Postgres | Valkey | Chroma] = []
    if deployment.postgres:
        found.append(Postgres(folder / "postgres", 5432, SECRETS["POSTGRES_PASSWORD"]))
    if deployment.redis:
        found.append(Valkey(folder / "redis", 6379, SECRETS["REDIS_PASSWORD"]))
    if "chroma.internal" in deployment.names:
        found.append(Chroma(folder / "chroma", 8001))
    with ExitStack() as stack:
        if deployment.names:
            stack.enter_context(resolving(deployment.resolver, deployment.names))
        for server in found:
            server.folder.mkdir(mode=0o700)
            server.prepare()
            stack.enter_context(running(server.program(), folder))
        yield
