"""Where the output of programs goes: a file for each, and what matters to the terminal."""

import asyncio
import json
import os
import sys
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

LARGEST_BYTES = 10_000_000
KEPT = 3
"""Files kept of each program: name.log, name.log.1, name.log.2."""
LAST_LINES = 20
LINE_BYTES = 256_000
SEVERITY = {"debug": 0, "info": 1, "warning": 2, "warn": 2, "error": 3, "critical": 4, "fatal": 4}
COLOURS = {"warning": "33", "error": "31", "critical": "31"}


class LogFile:
    """A file that is put aside when it is large. A full disk stops logging, not the program."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab", buffering=0)
        self._size = path.stat().st_size

    def write(self, line: bytes) -> None:
        """Append a line."""
        try:
            if self._size + len(line) > LARGEST_BYTES:
                self._rotate()
            self._file.write(line)
            self._size += len(line)
        except OSError:
            return

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _rotate(self) -> None:
        self._file.close()
        names = [self._path, *(Path(f"{self._path}.{number}") for number in range(1, KEPT))]
        for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
            if newer.exists():
                newer.replace(older)
        self._file = self._path.open("ab", buffering=0)
        self._size = 0


class Journal:
    """Takes in what programs print."""

    def __init__(self, folder: Path, *, verbose: bool, screen: TextIO | None = None) -> None:
        self._folder = folder
        self._verbose = verbose
        self._screen = screen or sys.stderr
        self._files: dict[str, LogFile] = {}
        self._last: dict[str, deque[str]] = {}

    async def follow(self, name: str, output: asyncio.StreamReader, shown: str | None) -> None:
        """Take in one process's output until it ends.

        Args:
            name: of the program.
            output: its standard output and error.
            shown: the least severity that the terminal shows (`warning`); None: nothing.
        """
        if name not in self._files:
            self._files[name] = LogFile(self._folder / f"{name}.log")
        last = self._last.setdefault(name, deque(maxlen=LAST_LINES))
        while line := await _line(output):
            self._files[name].write(line)
            text = line.decode("utf-8", "replace").rstrip()
            last.append(text)
            if self._verbose or shown:
                self._show(name, text, shown or "debug")

    def last_words(self, name: str) -> list[str]:
        """Return the last lines of a program."""
        return list(self._last.get(name, ()))

    def say(self, text: str, *, level: str = "info") -> None:
        """Say something to the person at the terminal."""
        with suppress(OSError):  # the terminal was closed
            print(self._coloured(text, COLOURS.get(level)), file=self._screen, flush=True)

    def close(self) -> None:
        """Close all files."""
        for file in self._files.values():
            file.close()

    def _show(self, name: str, text: str, least: str) -> None:
        record = parsed(text)
        if record is None:
            if self._verbose:
                self.say(f"{name:<9} {text}")
            return
        level = str(record.get("level", "info"))
        if self._verbose or SEVERITY.get(level, 1) >= SEVERITY[least]:
            self.say(f"{name:<9} {readable(record)}", level=level)

    def _coloured(self, text: str, colour: str | None) -> str:
        if colour and self._screen.isatty() and "NO_COLOR" not in os.environ:
            return f"\033[{colour}m{text}\033[0m"
        return text


def parsed(text: str) -> dict[str, object] | None:
    """Return a JSON log line as an object; None when it is something else."""
    if not text.startswith("{"):
        return None
    try:
        record = json.loads(text)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def readable(line: Mapping[str, object]) -> str:
    """Return a JSON log line as a person reads it, on one line (a trace on more)."""
    record = dict(line)
    moment, seconds = str(record.pop("at", "")), record.pop("ts", None)  # ours; Caddy's
    if isinstance(seconds, int | float):
        moment = datetime.fromtimestamp(seconds, UTC).isoformat()
    level = str(record.pop("level", "info"))
    message = record.pop("message", record.pop("msg", ""))
    trace = record.pop("trace", None)
    record.pop("from", None)
    fields = " ".join(f"{key}={value}" for key, value in record.items())
    mark = "" if SEVERITY.get(level, 1) < SEVERITY["warning"] else f"{level.upper()} "
    clock = f"{_clock(moment)} " if moment else ""
    text = f"{clock}{mark}{message}{'  ' if fields else ''}{fields}"
    return f"{text}\n{trace}" if trace else text


def _clock(moment: str) -> str:
    try:
        return datetime.fromisoformat(moment).astimezone().strftime("%H:%M:%S")
    except ValueError:
        return moment


async def _line(output: asyncio.StreamReader) -> bytes:
    """Read a line; one that is too long comes in pieces."""
    try:
        return await output.readline()
    except ValueError:  # longer than the reader's limit: it was thrown away
        return b"(a line too long to keep)\n"
