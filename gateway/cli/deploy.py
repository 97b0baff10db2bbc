"""Look whether this version may be deployed: whether it takes what waits and runs now."""

import argparse
import asyncio
import sys
from collections.abc import Mapping
from typing import Any

from gateway.cli.command import Command, WrongUsage
from gateway.cli.connect import open_database
from gateway.cli.environment import settings_here
from gateway.cli.output import print_json, safe
from gateway.cli.progress import Progress
from runtime.compatibility import Compatibility, Rejection, check_unfinished
from runtime.registry import BrokenFile, Registry, load_registry
from state.ids import public_id


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "--check", action="store_true", help="read what waits and runs, and change nothing"
    )
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Check; 1 when something would be rejected."""
    if not args.check:
        raise WrongUsage(
            "say --check: from the folder of the new version, with the POSTGRES_DSN of the"
            " installation that runs. Deploying itself is your platform's: docs/operate.md, Upgrade"
        )
    registry = load_registry(settings_here(environ).functions)
    found = asyncio.run(_check(registry, environ, quiet=args.json))
    good = not found.rejected and not registry.broken
    if args.json:
        print_json(_document(found, registry.broken, good))
    else:
        _print(found, registry.broken)
    return 0 if good else 1


async def _check(registry: Registry, environ: Mapping[str, str], *, quiet: bool) -> Compatibility:
    progress = Progress("reading what waits and runs", shown=not quiet)
    async with open_database(environ) as database:
        found = await check_unfinished(database, registry, progress.at)
    progress.end()
    return found


def _document(found: Compatibility, broken: list[BrokenFile], good: bool) -> dict[str, Any]:
    rejections = [
        {**each._asdict(), "example": public_id(each.example)} for each in found.rejections
    ]
    return {
        "ok": good,
        "invocations": found.invocations,
        "rejected": found.rejected,
        "rejections": rejections,
        "broken": [vars(each) for each in broken],
    }


def _print(found: Compatibility, broken: list[BrokenFile]) -> None:
    for each in broken:
        print(f"nexus: does not import: {each}", file=sys.stderr)
    for rejection in found.rejections:
        print(safe(f"nexus: {_said(rejection)}"), file=sys.stderr)
    if found.rejected:
        print(
            f"nexus: {found.rejected:,} of {found.invocations:,} that wait or run would be"
            " rejected. Give new fields a default, and keep the fields that are gone until nothing"
            " waits with them; name what a function was called before in aliases=.",
            file=sys.stderr,
        )
    elif not broken:
        print(f"This version takes all that waits or runs: {found.invocations:,} invocations.")


def _said(one: Rejection) -> str:
    where = one.function if one.field is None else f"{one.function}: {one.field}"
    return f"{where}: {one.message} ({one.invocations:,}, for instance {public_id(one.example)})"


COMMAND = Command(
    "deploy",
    "Check, before a deploy, that this version takes what waits and runs now.",
    add_arguments,
    run,
    example="nexus deploy --check",
)
