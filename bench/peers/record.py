"""What handlers leave behind: two moments each, appended to one file in memory.

The same for every contender, and cheap: one system call of 16 bytes. It runs in all environments,
so it needs the standard library alone.
"""

import os
import struct
import time
from pathlib import Path
from typing import NamedTuple

MOMENTS = struct.Struct("dd")
now = time.monotonic
_opened: list[int] = []


class Times(NamedTuple):
    """Of one handler: when it was sent or began, and when it began or ended (monotonic)."""

    earlier: float
    later: float


def place() -> Path:
    """Return the file."""
    return Path(os.environ["BENCH_RECORD"])


def note(earlier: float) -> None:
    """Append a moment, and this one."""
    if not _opened:
        _opened.append(os.open(place(), os.O_WRONLY | os.O_APPEND | os.O_CREAT))
    os.write(_opened[0], MOMENTS.pack(earlier, now()))


def count(file: Path) -> int:
    """Return how many handlers have left something."""
    return file.stat().st_size // MOMENTS.size if file.exists() else 0


def read(file: Path) -> list[Times]:
    """Return everything, in the order of its writing."""
    return [Times(*pair) for pair in MOMENTS.iter_unpack(file.read_bytes())]
