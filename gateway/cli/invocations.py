"""List invocations."""

import argparse
import asyncio
from collections.abc import Mapping

from gateway.cli.command import Command
from gateway.cli.connect import number_of, open_database, tenant_of
from gateway.cli.output import ago, local_time, print_json, print_table
from state.ids import public_id
from state.invocations import STATES, Invocation, Invocations


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--state", choices=STATES)
    parser.add_argument("--function", metavar="NAME")
    parser.add_argument("--shop", metavar="NAME", help="default: all")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="at most so many (20)")
    parser.add_argument("--before", metavar="ID", help="older than this one: the next page")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """List."""
    found = asyncio.run(_page(args, environ))
    if args.json:
        print_json([describe(one) for one in found])
    elif not found:
        print("No invocations here. Try `nexus invoke hello name=Ana`.")
    else:
        rows = [
            (
                public_id(one.id),
                one.function,
                one.state,
                one.attempts,
                ago(one.created_at),
                waits(one) or one.error,
            )
            for one in found
        ]
        print_table(("ID", "FUNCTION", "STATE", "ATTEMPTS", "CREATED", "WHY"), rows)
        if len(found) == args.limit:
            print(f"\nOlder ones: --before {public_id(found[-1].id)}")
    return 0


async def _page(args: argparse.Namespace, environ: Mapping[str, str]) -> list[Invocation]:
    before = number_of(args.before) if args.before else None
    tenant = await tenant_of(environ, args.shop) if args.shop else None
    async with open_database(environ) as database:
        return await Invocations(database).page(
            state=args.state,
            function=args.function,
            tenant=tenant,
            before=before,
            limit=max(1, min(args.limit, 1000)),
        )


def waits(one: Invocation) -> str:
    """Return what one that is due waits for; empty: for nothing but its time and a worker."""
    if one.state != "waiting" or one.waits_for is None:
        return ""
    if one.waits_for == "permit":
        return "waits for a permit: as many as may run at once do"
    return f"waits for its rate slot at {local_time(one.run_at)}"


def describe(one: Invocation) -> dict[str, object]:
    """Return an invocation as JSON shows it."""
    return {**vars(one), "id": public_id(one.id), "attempts": one.attempts}


COMMAND = Command(
    "invocations",
    "List invocations, newest first.",
    add_arguments,
    run,
    example="nexus invocations --state dead",
)
