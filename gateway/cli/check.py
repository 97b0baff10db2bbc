"""`nexus check`: format, lint, types, layers and dependencies, all at once."""

import argparse
import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.cli.command import Command
from runtime.host.layout import HOME

BIN = Path(sys.prefix) / "bin"


@dataclass(frozen=True)
class Tool:
    """One thing that is checked."""

    name: str
    argv: tuple[str, ...]


TOOLS = (
    Tool("format", ("ruff", "format", "--check", ".")),
    Tool("lint", ("ruff", "check", ".")),
    Tool("types", ("mypy",)),
    Tool("layers", ("lint-imports",)),
    Tool("dependencies", ("deptry", "--no-ansi", ".")),
)
FIXES = (("ruff", "format", "."), ("ruff", "check", "--fix", "."))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("--fix", action="store_true", help="format, and repair what can be")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Check everything; 0 when nothing is to be said."""
    return asyncio.run(check(environ, fix=args.fix))


async def check(environ: Mapping[str, str], *, fix: bool) -> int:
    """Run the tools side by side and print what each has to say."""
    if fix:
        for argv in FIXES:
            await outcome(argv, environ)
    began = time.monotonic()
    results = await asyncio.gather(*(outcome(tool.argv, environ) for tool in TOOLS))
    for tool, (code, said) in zip(TOOLS, results, strict=True):
        print(f"{'ok    ' if code == 0 else 'FAILED'} {tool.name}")
        if code:
            print(said.rstrip() + "\n")
    failed = sum(code != 0 for code, _ in results)
    print(f"{failed or 'nothing'} failed, {time.monotonic() - began:.1f} s")
    return 1 if failed else 0


async def outcome(argv: tuple[str, ...], environ: Mapping[str, str]) -> tuple[int, str]:
    """Run a tool of the environment; return its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        str(BIN / argv[0]),
        *argv[1:],
        cwd=HOME,
        env=dict(environ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None  # noqa: S101 - it has ended
    return process.returncode, said.decode(errors="replace")


COMMAND = Command("check", "check format, lint, types, layers, dependencies", add_arguments, run)
