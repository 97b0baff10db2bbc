"""`nexus budgets`: what shops' agents may spend, what they spent, and what is reserved."""

import argparse
import asyncio
from collections.abc import Mapping

from gateway.cli.command import Command
from gateway.cli.connect import open_database, shop_of
from gateway.cli.output import print_json, print_table
from state.budgets import CONVERSATION, DAY, Account, accounts
from state.ids import public_id


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--shop", metavar="NAME", help="only this one")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """List them."""
    found = asyncio.run(_accounts(args.shop, environ))
    if args.json:
        print_json([_described(one) for one in found])
    elif not found:
        print("No shops yet. Add one: nexus shops add NAME")
    else:
        rows = [
            (
                one.shop,
                _subject(one),
                f"{one.spent:,}",
                f"{one.reserved:,}",
                f"{one.most:,}",
                f"{max(0, one.most - one.spent - one.reserved):,}",
            )
            for one in found
        ]
        print_table(("SHOP", "BUDGET", "SPENT", "RESERVED", "LIMIT", "LEFT"), rows)
        print("\nTokens of today, by each shop's own clock. Limits: nexus agents set --shop NAME")
    return 0


def _described(one: Account) -> dict[str, object]:
    return {
        "shop": one.shop,
        "scope": one.scope,
        "subject": None if one.scope == DAY else _name(one),
        "day": None if one.day is None else one.day.isoformat(),
        "spent": one.spent,
        "reserved": one.reserved,
        "limit": one.most,
    }


def _subject(one: Account) -> str:
    return "day" if one.scope == DAY else f"{one.scope} {_name(one)}"


def _name(one: Account) -> str:
    return str(one.subject) if one.scope == CONVERSATION else public_id(one.subject)


async def _accounts(shop: str | None, environ: Mapping[str, str]) -> list[Account]:
    tenant = (await shop_of(environ, shop)).tenant if shop is not None else None
    async with open_database(environ) as database, database.engine() as connection:
        return await accounts(connection, tenant)


COMMAND = Command(
    "budgets",
    "Show what shops' agents may spend, what they spent, and what is reserved.",
    add_arguments,
    run,
    example="nexus budgets --shop pampa --json",
)
