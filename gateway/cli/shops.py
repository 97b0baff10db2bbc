"""Shops: list them, add one."""

import argparse
import asyncio
import re
from collections.abc import Mapping
from zoneinfo import ZoneInfo, available_timezones

from gateway.cli.command import Command, WrongUsage
from gateway.cli.connect import open_database
from gateway.cli.output import ago, print_json, print_table
from state.shops import ShopDetail, open_shop, shop_details, update_shop

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
LANGUAGES = ("es", "pt", "en")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("action", nargs="?", choices=("list", "add"), default="list")
    parser.add_argument("name", nargs="?", help="small letters, digits and hyphens")
    parser.add_argument("--title", help="the shop as shoppers know it")
    parser.add_argument("--language", choices=LANGUAGES, help="of the agent (es)")
    parser.add_argument("--currency", metavar="CODE", help="of its prices (ARS)")
    parser.add_argument("--zone", help="its time zone (America/Argentina/Buenos_Aires)")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """List, or add."""
    if args.action == "list":
        found = asyncio.run(_list(environ))
        _show(found, args.json)
        return 0
    _check(args)
    added = asyncio.run(_add(args, environ))
    if args.json:
        print_json(added._asdict())
    else:
        print(f"{added.name}: {added.title or added.name}, {added.language}, {added.currency}")
        print(f"\nIts WhatsApp number: nexus channels add --shop {added.name} --help")
    return 0


def _show(found: list[ShopDetail], as_json: bool) -> None:
    if as_json:
        print_json([one._asdict() for one in found])
    elif not found:
        print("No shops yet. Add one: nexus shops add NAME --title 'What shoppers call it'")
    else:
        rows = [
            (one.name, one.title, one.language, one.currency, one.zone, ago(one.created_at))
            for one in found
        ]
        print_table(("NAME", "TITLE", "LANGUAGE", "CURRENCY", "ZONE", "ADDED"), rows)


def _check(args: argparse.Namespace) -> None:
    if not args.name or not NAME.fullmatch(args.name):
        raise WrongUsage("a shop's name has small letters, digits and hyphens, e.g. pampa-calzados")
    if args.currency and not re.fullmatch("[A-Z]{3}", args.currency):
        raise WrongUsage("--currency is a code of three letters, e.g. ARS or BRL")
    if args.zone and args.zone not in available_timezones():
        raise WrongUsage(f"--zone: there is no time zone {args.zone!r}")
    if args.zone:
        ZoneInfo(args.zone)


async def _list(environ: Mapping[str, str]) -> list[ShopDetail]:
    async with open_database(environ) as database:
        return await shop_details(database)


async def _add(args: argparse.Namespace, environ: Mapping[str, str]) -> ShopDetail:
    async with open_database(environ) as database:
        shop = await open_shop(database, args.name)
        async with database.engine() as connection:
            return await update_shop(
                connection,
                shop.tenant,
                title=args.title,
                language=args.language,
                currency=args.currency,
                zone=args.zone,
            )


COMMAND = Command(
    "shops",
    "List shops, or add one.",
    add_arguments,
    run,
    example="nexus shops add pampa --title 'Pampa Calzados' --currency ARS",
)
