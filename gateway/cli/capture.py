"""Write a run that happened as a pytest file: event, recorded steps, what came of it."""

import argparse
import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

from gateway.cli.command import Command
from gateway.cli.connect import number_of, open_database
from gateway.cli.output import print_json
from runtime.capture import capture
from runtime.errors import RuntimeFault
from runtime.registry import load_registry
from state.ids import public_id
from state.invocations import InvocationDetail, Invocations
from state.shops import INSTALLATION, shop_numbered


class NotWritten(RuntimeFault):
    """The file could not be written."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("id", metavar="ID")
    parser.add_argument("--output", metavar="FILE", help="where to; without it, print")
    parser.add_argument(
        "--redact", action="store_true", help="placeholders for phones, e-mail, texts, secrets"
    )
    parser.add_argument("--json", action="store_true", help="print id, file and function")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Capture."""
    registry = load_registry(environ.get("NEXUS_FUNCTIONS") or "functions")
    found, dispatched, shop = asyncio.run(_read(number_of(args.id), environ))
    if found is None:
        print(f"nexus: there is no invocation {args.id}", file=sys.stderr)
        return 1
    text = capture(registry, found, dispatched, shop, redact=args.redact)
    if args.output is None:
        print(text, end="")
        return 0
    try:
        Path(args.output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise NotWritten(f"--output: {error.strerror}: {args.output}") from None
    if args.json:
        print_json({"id": public_id(found.id), "file": args.output, "function": found.function})
    else:
        print(f"{args.output}  run it: ./nexus test {args.output}")
        print("nexus: look through it before you commit it", file=sys.stderr)
    return 0


async def _read(
    number: int, environ: Mapping[str, str]
) -> tuple[InvocationDetail | None, list[tuple[str, str]], str | None]:
    async with open_database(environ) as database:
        invocations = Invocations(database)
        found = await invocations.get(number)
        if found is None:
            return None, [], None
        shop = None
        if found.tenant != INSTALLATION:
            known = await shop_numbered(database, found.tenant)
            shop = known.name if known else "?"
        return found, await invocations.dispatched(number), shop


COMMAND = Command(
    "capture",
    "Write a run that happened as a pytest file: event, recorded steps, what came of it.",
    add_arguments,
    run,
    example="nexus capture inv_… --redact --output tests/test_captured.py",
)
