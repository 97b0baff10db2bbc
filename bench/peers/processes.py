"""A contender's processes: its worker, with the memory it takes, and its senders."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.peers import record
from bench.stack import ROOT
from runtime.host.processes import family, pss_bytes

LOOK_SECONDS = 0.002
SAMPLE_SECONDS = 0.1
STOP_SECONDS = 3


@dataclass(frozen=True)
class Place:
    """Where a contender runs, and how."""

    name: str
    python: str
    database: str
    environment: dict[str, str]
    record: Path
    log: Path

    def command(self, *arguments: object) -> list[str]:
        """Return the command line of its file."""
        module = f"bench.peers.contenders.{self.name}"
        return [self.python, "-m", module, *map(str, arguments)]

    def sender(self, *arguments: object, seconds: float = 120) -> Any:
        """Run one of the commands of `shape`, and return what it printed."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=ROOT,
            env={**self.environment, "BENCH_RECORD": str(self.record)},
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        if done.returncode:
            raise RuntimeError(f"{self.name} {arguments}: {done.stderr.strip()[-600:]}")
        return json.loads(done.stdout.splitlines()[-1])

    @contextmanager
    def worker(self, concurrency: int) -> Iterator["Worker"]:
        """Run its worker until the block ends; what handlers left before is forgotten."""
        self.record.unlink(missing_ok=True)
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                self.command("work", concurrency),
                cwd=ROOT,
                env={**self.environment, "BENCH_RECORD": str(self.record)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        worker = Worker(process, self)
        try:
            yield worker
        finally:
            worker.stop()


class Worker:
    """A running worker, all its processes."""

    def __init__(self, process: "subprocess.Popen[bytes]", place: Place) -> None:
        self.process = process
        self._place = place
        self.pss_mb = 0.0
        """The most it had, all its processes together."""
        self._over = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()

    def until(self, count: int, seconds: float) -> list[record.Times]:
        """Wait until so many handlers have left their times, or the time is over."""
        deadline = time.monotonic() + seconds
        while record.count(self._place.record) < count and time.monotonic() < deadline:
            if self.process.poll() is not None:
                last = self._place.log.read_text(errors="replace")[-600:]
                raise RuntimeError(f"{self._place.name}: its worker ended: {last}")
            time.sleep(LOOK_SECONDS)
        return record.read(self._place.record) if record.count(self._place.record) else []

    def stop(self) -> None:
        """Stop it, and what it started."""
        self._over.set()
        self._sampler.join()
        self.process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        with suppress(ProcessLookupError):  # its session is its own: nobody else is in the group
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _sample(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            self.pss_mb = max(self.pss_mb, pss_bytes(family(self.process.pid)) / 2**20)
