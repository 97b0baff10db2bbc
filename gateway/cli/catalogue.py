"""The catalogue of a shop: the table that Tienda Nube's admin exports."""

import argparse
import asyncio
from collections.abc import Mapping
from pathlib import Path

from gateway.cli.command import Command, WrongUsage
from gateway.cli.connect import open_database, shop_of
from gateway.cli.knowledge import show
from gateway.cli.reading import Given, follow, read_file
from state.sources import CATALOGUE, sources

FUNCTION = "catalogue_import"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("action", nargs="?", choices=("list", "import"), default="list")
    parser.add_argument("file", nargs="?", metavar="FILE", help="the CSV that the admin exports")
    parser.add_argument("--shop", metavar="NAME", help="default: demo, here on this machine")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """List, or import."""
    if args.action == "import" and not args.file:
        raise WrongUsage("which file? nexus catalogue import FILE")
    return asyncio.run(_run(args, environ))


async def _run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    shop = await shop_of(environ, args.shop)
    if args.action == "import":
        file = Given(Path(args.file).name, "text/csv", read_file(args.file))
        return await follow(environ, shop, CATALOGUE, FUNCTION, [file], as_json=args.json)
    async with open_database(environ) as database, database.tenant(shop.tenant) as connection:
        found = await sources(connection, shop.tenant, CATALOGUE)
    empty = (
        "No catalogue yet. In Tienda Nube: Productos, Exportar; then nexus catalogue import FILE"
    )
    show(found, args.json, empty)
    return 0


COMMAND = Command(
    "catalogue",
    "Show a shop's catalogues, or import one.",
    add_arguments,
    run,
    example="nexus catalogue import productos.csv --shop pampa",
)
