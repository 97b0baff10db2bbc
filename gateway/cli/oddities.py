"""Oddities: parts of what providers posted that nobody could take."""

import argparse
import asyncio
from collections.abc import Mapping

from gateway.cli.command import Command, Refused, WrongUsage
from gateway.cli.connect import open_database
from gateway.cli.output import ago, local_time, print_json, print_table, safe
from state.audit import record
from state.oddities import Oddity, oddities, oddity, raw_part

MOST = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("action", nargs="?", choices=("list", "show"), default="list")
    parser.add_argument("id", nargs="?", type=int, help="which, for show")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="at most so many (20)")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """List them, or show one with what was posted."""
    if args.action == "show":
        if args.id is None:
            raise WrongUsage("which oddity? nexus oddities show ID")
        return _show(args, *asyncio.run(_one(args, environ)))
    found = asyncio.run(_list(args, environ))
    if args.json:
        print_json([one._asdict() for one in found])
    elif not found:
        print("No oddities: everything that providers posted was taken.")
    else:
        rows = [
            (
                one.oddity_id,
                ago(one.at),
                one.shop or "none",
                one.app or "none",
                _place(one),
                one.reason,
            )
            for one in found
        ]
        print_table(("ID", "WHEN", "SHOP", "APP", "WHERE", "WHY"), rows)
        print("\nWhat was posted: nexus oddities show ID (it may hold personal data)")
    return 0


def _show(args: argparse.Namespace, found: Oddity, raw: str | None) -> int:
    if args.json:
        print_json({**found._asdict(), "raw": raw})
        return 0
    print(f"oddity  {found.oddity_id}")
    print(f"when    {local_time(found.at)}")
    print(f"shop    {found.shop or 'none is known'}")
    print(f"app     {found.app or 'not known any more'}")
    print(f"where   {_place(found)}, in delivery {found.delivery_id}")
    print(f"why     {safe(found.reason)}\n")
    print("The delivery is forgotten: they are kept for 30 days." if raw is None else safe(raw))
    return 0


def _place(found: Oddity) -> str:
    return found.place or "the whole delivery"


async def _list(args: argparse.Namespace, environ: Mapping[str, str]) -> list[Oddity]:
    async with open_database(environ) as database, database.engine() as connection:
        return await oddities(connection, max(1, min(args.limit, MOST)))


async def _one(args: argparse.Namespace, environ: Mapping[str, str]) -> tuple[Oddity, str | None]:
    """Return it with what was posted; that somebody looked is a row of the audit log."""
    async with (
        open_database(environ) as database,
        database.engine() as connection,
        connection.transaction(),
    ):
        found = await oddity(connection, args.id)
        if found is None:
            raise Refused(f"there is no oddity {args.id}; see `nexus oddities`")
        await record(connection, actor="cli", action="oddity.show", subject=str(found.oddity_id))
        return found, await raw_part(connection, found)


COMMAND = Command(
    "oddities",
    "List what providers posted and nobody could take; show one.",
    add_arguments,
    run,
    example="nexus oddities show 12",
)
