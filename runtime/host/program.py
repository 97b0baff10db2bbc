"""A program the supervisor runs: what to start, when it is ready, how it is stopped."""

import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

LAUNCH = Path(__file__).with_name("launch.py")

Ready = Callable[[int], Awaitable[bool]]
"""Say whether the process with this id serves now."""


async def at_once(_: int) -> bool:
    """Count as ready from the start."""
    return True


@dataclass(frozen=True)
class Account:
    """Whom a program runs as, when we are root and it must not be."""

    name: str
    user: int
    group: int
    closed: tuple[str, ...] = ()
    """The uppermost folders on its way that this account may not enter."""
    shown: tuple[str, ...] = ()
    """What it has to reach below them."""


@dataclass(frozen=True)
class Program:
    """One program, before it is started. Nothing here changes while it runs."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    ready: Ready = at_once
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 10
    """How long it may take to stop, before it is killed."""
    retire_signal: int | None = None
    """Makes it finish what it runs, however long that takes, and then end. None: there is none."""
    retire_seconds: float = 0.0
    """How long that may take, before it is stopped like any other."""
    death_signal: int = signal.SIGKILL
    """What it gets from the kernel when the supervisor dies."""
    ready_seconds: float = 30
    quiet_codes: frozenset[int] = frozenset()
    """Exit codes that mean "start me again", without noise and at once."""
    shown: str | None = None
    """The least severity of its JSON log lines that the terminal shows; None: none of its lines."""
    account: Account | None = None
    descriptors: tuple[int, ...] = ()
    """Open files it inherits, under the same numbers."""
    directory: str | None = None
    alone: bool = False
    """It owns a port, a socket file or a folder: two of it at once are not possible."""

    def command(self) -> list[str]:
        """Return what to execute: the launcher, its orders, and the program."""
        account = self.account
        orders = {
            "parent": os.getpid(),
            "death_signal": int(self.death_signal),
            "account": [account.user, account.group] if account else None,
            "closed": list(account.closed) if account else [],
            "shown": list(account.shown) if account else [],
        }
        return [sys.executable, "-I", "-S", str(LAUNCH), json.dumps(orders), *self.argv]
