"""Run a bench."""

import argparse
import ast
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from gateway.cli.command import Command

FOLDER = Path(__file__).parents[2] / "bench"
MAIN = "\ndef main("
"""What a bench has, and a part of one has not."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("name", nargs="?", help="which; none: list them")
    parser.add_argument("--quick", action="store_true", help="less of it, sooner")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Run a script of bench/; its last line is one JSON object."""
    files = {path.stem: path for path in FOLDER.glob("[a-z]*.py")}
    files |= {path.parent.name: path for path in FOLDER.glob("[a-z]*/__main__.py")}
    texts = {name: path.read_text(encoding="utf-8") for name, path in sorted(files.items())}
    scripts = {name: text for name, text in texts.items() if MAIN in text}
    if args.name is None:
        for name, text in scripts.items():
            summary = ast.get_docstring(ast.parse(text)) or ""
            print(f"  {name:<16} {summary.partition(chr(10))[0]}")
        return 0
    if args.name not in scripts:
        names = ", ".join(sorted(scripts)) or "none yet"
        print(f"nexus: there is no bench {args.name!r}; there are: {names}", file=sys.stderr)
        return 2
    quick = ["--quick"] if args.quick else []
    command = [sys.executable, "-m", f"bench.{args.name}", *quick, *args.options]
    # The name was found among our own files.
    return subprocess.run(command, cwd=FOLDER.parent, env=dict(environ), check=False).returncode  # noqa: S603


COMMAND = Command(
    "bench",
    "Run a bench; its last line is one JSON object.",
    add_arguments,
    run,
    example="nexus bench invoke --quick",
    passes_on=True,
)
