"""What a shop's agent knows besides the catalogue: documents."""

import argparse
import asyncio
import mimetypes
from collections.abc import Mapping
from pathlib import Path

from gateway.cli.command import Command, WrongUsage
from gateway.cli.connect import open_database, open_dispatcher, shop_of
from gateway.cli.output import ago, print_json, print_table
from gateway.cli.reading import Given, follow, read_file
from state.ids import public_id
from state.sources import DOCUMENT, Source, remove_source, sources

ACTIONS = ("list", "add", "remove", "rebuild")
FUNCTION, REBUILD = "knowledge_read", "vectors_rebuild"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="list")
    parser.add_argument("files", nargs="*", metavar="FILE", help="md, txt, csv, html or pdf")
    parser.add_argument("--shop", metavar="NAME", help="default: demo, here on this machine")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """List, add, remove; or make the vectors anew."""
    if args.action in ("add", "remove") and not args.files:
        raise WrongUsage(f"which files? nexus knowledge {args.action} FILE…")
    return asyncio.run(_run(args, environ))


async def _run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    shop = await shop_of(environ, args.shop)
    if args.action == "add":
        files = [Given(Path(one).name, media_type(one), read_file(one)) for one in args.files]
        return await follow(environ, shop, DOCUMENT, FUNCTION, files, as_json=args.json)
    if args.action == "rebuild":
        async with open_dispatcher(environ) as dispatcher:
            receipt = await dispatcher.dispatch_named(
                REBUILD, {"everything": True}, tenant=shop.tenant
            )
        if args.json:
            print_json({"shop": shop.name, "invocation": public_id(receipt.id)})
        else:
            print("The vectors are made anew; until then, search is by words alone.")
        return 0
    async with open_database(environ) as database, database.tenant(shop.tenant) as connection:
        if args.action == "remove":
            gone = [
                await remove_source(connection, shop.tenant, DOCUMENT, Path(one).name)
                for one in args.files
            ]
            answers = list(zip(args.files, gone, strict=True))
            if args.json:
                print_json([{"name": name, "removed": there} for name, there in answers])
            else:
                for name, there in answers:
                    print(f"{name}: {'removed' if there else 'was not there'}")
            return 0 if all(gone) else 1
        found = await sources(connection, shop.tenant, DOCUMENT)
    show(found, args.json, "No documents yet. Add some: nexus knowledge add envios.md faq.pdf")
    return 0


def show(found: list[Source], as_json: bool, empty: str) -> None:
    """Print sources."""
    if as_json:
        print_json([{**one._asdict(), "refused": _refused(one)} for one in found])
    elif not found:
        print(empty)
    else:
        rows = [
            (one.name, one.state, one.done, len(one.refused), ago(one.updated_at), one.problem)
            for one in found
        ]
        print_table(("NAME", "STATE", "TAKEN", "REFUSED", "READ", "WHY"), rows)


def media_type(name: str) -> str:
    """Return what kind of file that is, by its name."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _refused(one: Source) -> list[dict[str, object]]:
    return [refused._asdict() for refused in one.refused]


COMMAND = Command(
    "knowledge",
    "List what a shop's agent knows; add or remove documents, make the vectors anew.",
    add_arguments,
    run,
    example="nexus knowledge add envios.md cambios.pdf --shop pampa",
)
