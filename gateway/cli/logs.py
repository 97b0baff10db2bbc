"""`nexus logs`: what the processes of this machine print."""

import argparse
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from gateway.cli.command import Command, WrongUsage
from runtime.errors import ServerAway
from runtime.function import suggest
from runtime.host.journal import parsed, readable
from runtime.host.layout import Layout
from runtime.settings import load_settings

LOOK_SECONDS = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("name", nargs="*", help="gateway, worker, web, postgres … (default: all)")
    parser.add_argument("-n", "--lines", type=int, default=20, help="last lines of each (20)")
    parser.add_argument("-f", "--follow", action="store_true", help="go on as they are written")
    parser.add_argument("--json", action="store_true", help="lines as they were written")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print the last lines, and go on when asked to."""
    layout = Layout.at(load_settings(environ).state_dir)
    folder = layout.root / "logs"
    files = [folder / f"{name}.log" for name in args.name] or sorted(folder.glob("*.log"))
    known = [file.stem for file in sorted(folder.glob("*.log"))]
    if not known:
        raise ServerAway(f"no logs yet in {folder}")
    for name in args.name:
        if name not in known:
            near = suggest(name, known)
            raise WrongUsage(f"no log of {name!r} in {folder}{near}; there are: {', '.join(known)}")
    with suppress(KeyboardInterrupt, BrokenPipeError):
        for file in files:
            for line in deque(_lines(file), maxlen=max(args.lines, 0)):
                show(file.stem, line, as_written=args.json)
        if args.follow:
            _follow(files, as_written=args.json)
    return 0


def show(name: str, line: str, *, as_written: bool) -> None:
    """Print one line for people, or as it is."""
    record = None if as_written else parsed(line)
    text = line if record is None else readable(record)
    print(text if as_written else f"{name:<9} {text}", flush=True)


def _lines(file: Path) -> Iterator[str]:
    with file.open(encoding="utf-8", errors="replace") as opened:
        for line in opened:
            yield line.rstrip("\n")


def _follow(files: list[Path], *, as_written: bool) -> None:
    opened = {file: _at_end(file) for file in files}
    while True:
        quiet = True
        for file, stream in opened.items():
            for line in stream:
                quiet = False
                text = line.decode("utf-8", "replace").rstrip("\n")
                show(file.stem, text, as_written=as_written)
            with suppress(OSError):
                if file.stat().st_size < stream.tell():  # put aside; a new one began
                    stream.close()
                    opened[file] = file.open("rb")
        if quiet:
            time.sleep(LOOK_SECONDS)


def _at_end(file: Path) -> BinaryIO:
    stream = file.open("rb")
    stream.seek(0, 2)
    return stream


COMMAND = Command("logs", "show what the processes print", add_arguments, run)
