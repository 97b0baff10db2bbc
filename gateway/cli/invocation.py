"""Show one invocation."""

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping

from gateway.cli.command import Command
from gateway.cli.connect import number_of, open_database
from gateway.cli.invocations import describe, waits
from gateway.cli.output import ago, local_time, print_json, safe
from state.ids import public_id
from state.invocations import InvocationDetail, Invocations


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("id", metavar="ID")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Show."""
    found = asyncio.run(_get(number_of(args.id), environ))
    if found is None:
        print(f"nexus: there is no invocation {args.id}", file=sys.stderr)
        return 1
    if args.json:
        document = describe(found)
        document["event"] = json.loads(found.event)
        document["result"] = None if found.result is None else json.loads(found.result)
        document["failures"] = [one._asdict() for one in found.failures]
        document["steps"] = [one._asdict() for one in found.steps]
        print_json(document)
    else:
        _print(found)
    return 0


async def _get(number: int, environ: Mapping[str, str]) -> InvocationDetail | None:
    async with open_database(environ) as database:
        return await Invocations(database).get(number)


def _print(found: InvocationDetail) -> None:
    name = public_id(found.id)
    print(f"{name}  {found.function}  {found.state}")
    lines = [
        ("created", f"{local_time(found.created_at)} ({ago(found.created_at)})"),
        ("runs", (waits(found) or ago(found.run_at)) if found.state == "waiting" else ""),
        ("ended", local_time(found.done_at)),
        ("attempts", str(found.attempts)),
        ("event", found.event),
        ("result", found.result or ""),
        ("why", found.error or ""),
    ]
    for label, text in lines:
        if text:
            print(safe(f"  {label:<9} {text}"))
    for failed in found.failures:
        when = f"attempt {failed.attempt} failed {ago(failed.at)} ({failed.kind})"
        print(safe(f"  {when}: {failed.message}"))
    for step in found.steps:
        print(safe(f"  step {step.name}: {step.state} {step.result or ''}".rstrip()))
    if found.state in ("dead", "cancelled"):
        print(f"\nRun it again: nexus replay {name}")


COMMAND = Command(
    "invocation", "Show one invocation: event, result, failures, steps.", add_arguments, run
)
