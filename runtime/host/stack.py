"""The running stack, as other terminals find it: one lock, one address card, one list of processes.

`run/lock` is held by the supervisor while it lives; `run/stack.json` says where everything is (with
secrets: its owner reads it, nobody else); `run/processes.json` says how each program does.
"""

import fcntl
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from runtime.host.errors import AlreadyRunning
from runtime.host.layout import Layout, write_whole
from runtime.host.processes import started

STARTING_SECONDS = 10
LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Stack:
    """Where a running stack is."""

    pid: int
    moment: str | None
    """When the process `pid` started: an id alone may be somebody else's by now."""
    started_at: float
    address: str
    login_link: str
    private_address: str
    environment: Mapping[str, str] = field(repr=False)
    """What a process needs to work with this stack: addresses and secrets."""


def read_stack(state_dir: Path) -> Stack | None:
    """Return the stack that runs on this state folder, or None."""
    stack = _card(Layout.at(state_dir).root / "run" / "stack.json")
    return stack if stack and started(stack.pid) == stack.moment else None


def write_stack(layout: Layout, stack: Stack) -> None:
    """Tell other terminals where we are."""
    write_whole(layout.run / "stack.json", json.dumps(asdict(stack)), durable=False)


def remove_stack(layout: Layout) -> None:
    """Say that nothing runs here any more."""
    for name in ("stack.json", "processes.json"):
        (layout.run / name).unlink(missing_ok=True)


def read_processes(state_dir: Path) -> dict[str, Any]:
    """Return what the supervisor last said about its processes; empty when nothing runs."""
    try:
        text = (Layout.at(state_dir).root / "run" / "processes.json").read_text(encoding="utf-8")
        found = json.loads(text)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_processes(layout: Layout, said: Mapping[str, Any]) -> None:
    """Say how our processes do."""
    write_whole(layout.run / "processes.json", json.dumps(said), durable=False)


def lock(layout: Layout) -> TextIO:
    """Take the state folder for this process, until it ends.

    Raises:
        AlreadyRunning: somebody else has it; the message says where.
    """
    file = (layout.run / "lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise AlreadyRunning(_where(layout)) from None
    return file


def _where(layout: Layout) -> str:
    deadline = time.monotonic() + STARTING_SECONDS
    while time.monotonic() < deadline:
        if stack := read_stack(layout.root):
            return f"already running, at {stack.address}"
        time.sleep(LOOK_SECONDS)
    return f"already running on {layout.root}, but not yet serving; see ./nexus status"


def _card(path: Path) -> Stack | None:
    try:
        return Stack(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def this_moment() -> str | None:
    """Return when this process started."""
    return started(os.getpid())
