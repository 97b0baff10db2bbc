"""Ask a running supervisor for a restart: a file says what, a signal says look, a file answers."""

import json
import os
import secrets
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from runtime.host.errors import HostFault
from runtime.host.layout import Layout, write_whole
from runtime.host.processes import started
from runtime.host.stack import Stack

LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Request:
    """Restart one program, or (None) all of our processes."""

    token: str | None
    name: str | None


def ask_restart(stack: Stack, layout: Layout, name: str | None, timeout: float) -> None:
    """Ask for a restart and wait until it is done.

    Raises:
        HostFault: it did not succeed; with the reason.
    """
    token = secrets.token_hex(8)
    write_whole(_asked(layout, token), json.dumps({"name": name}), durable=False)
    os.kill(stack.pid, signal.SIGHUP)
    answered = _answered(layout, token)
    deadline = time.monotonic() + timeout
    while not answered.exists():
        if started(stack.pid) != stack.moment:
            raise HostFault("the stack ended meanwhile")
        if time.monotonic() > deadline:
            raise HostFault(f"no answer in {timeout:g} s; see ./nexus status")
        time.sleep(LOOK_SECONDS)
    problem = json.loads(answered.read_text(encoding="utf-8"))["problem"]
    answered.unlink(missing_ok=True)
    if problem:
        raise HostFault(problem)


def take_requests(layout: Layout) -> list[Request]:
    """Return what was asked for; nothing on file means: restart everything."""
    found = []
    for path in sorted(layout.run.glob("restart-*.asked")):
        token = path.name.removeprefix("restart-").removesuffix(".asked")
        found.append(Request(token, json.loads(path.read_text(encoding="utf-8"))["name"]))
        path.unlink(missing_ok=True)
    return found or [Request(None, None)]


def answer(layout: Layout, request: Request, problem: str) -> None:
    """Say how it went; an empty problem is a success."""
    if request.token is not None:
        path = _answered(layout, request.token)
        write_whole(path, json.dumps({"problem": problem}), durable=False)


def _asked(layout: Layout, token: str) -> Path:
    return layout.run / f"restart-{token}.asked"


def _answered(layout: Layout, token: str) -> Path:
    return layout.run / f"restart-{token}.done"
