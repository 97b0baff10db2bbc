"""Domains of shops: names of their own under which the public door answers."""

import argparse
import asyncio
from collections.abc import Mapping
from typing import Any

from gateway.cli.command import Command, Refused, WrongUsage
from gateway.cli.connect import open_database, shop_of
from gateway.cli.environment import settings_here, with_running_stack
from gateway.cli.hosts import record_to_make, refuse_our_own, remedy
from gateway.cli.output import ago, print_json, print_table
from gateway.edge import AWAY_SECONDS
from state.database import Database
from state.domains import Domain, add_domain, domains, remove_domain, seconds_since_reached
from state.rules.domain_names import parse_domain, shown

APPLY_SECONDS, LOOK_SECONDS = 5.0, 0.1
ACTOR = "cli"
APPLIED, WAITING, AWAY = "applied", "waiting", "edge away"
EXPLAINED = {
    APPLIED: "Caddy answers under it now.",
    WAITING: "A gateway will tell Caddy within a second or two; see `nexus domains`.",
    AWAY: (
        "No gateway reaches Caddy's admin API now. It is told as soon as one does: Caddy has to run"
        " (`nexus edge`) and the gateway to find it (CADDY_ADMIN)."
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("action", nargs="?", choices=("list", "add", "remove"), default="list")
    parser.add_argument("name", nargs="?", help="www.tienda.com, or *.tienda.com for all below it")
    parser.add_argument(
        "--shop", metavar="NAME", help="whose; add: default demo, here on this machine"
    )
    parser.add_argument("--dry-run", action="store_true", help="check, and change nothing")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """List, add or remove."""
    if args.action == "list":
        _show(asyncio.run(_list(args, environ)), args.json)
        return 0
    if args.name is None:
        raise WrongUsage(f"a domain is missing: nexus domains {args.action} www.tienda.com")
    try:
        name = parse_domain(args.name)
    except ValueError as error:
        raise WrongUsage(str(error)) from None
    if args.action == "remove":
        gone = asyncio.run(_remove(args, name, environ))
        return _removed(args, name, gone)
    refuse_our_own(name, settings_here(environ), with_running_stack(environ))
    document = asyncio.run(_add(args, name, environ))
    if args.json:
        print_json(document)
        return 0
    would = "would be" if args.dry_run else "is"
    print(f"{shown(name)} {would} a domain of {document['shop']}: {document['state']}")
    if not args.dry_run:
        print(EXPLAINED[document["state"]])
    print(f"\n{document['remedy']}")
    return 0


def state_of(domain: Domain, since_reached: float | None) -> str:
    """Return how far a domain is: applied, waiting, or edge away."""
    if since_reached is None or since_reached > AWAY_SECONDS:
        return AWAY
    return APPLIED if domain.applied_at else WAITING


def _document(domain: Domain, state: str) -> dict[str, Any]:
    return {
        "name": domain.name,
        "unicode": domain.unicode,
        "shop": domain.shop,
        "wildcard": domain.wildcard,
        "added_at": domain.added_at,
        "state": state,
    }


def _show(found: list[tuple[Domain, str]], as_json: bool) -> None:
    if as_json:
        print_json([_document(*each) for each in found])
    elif not found:
        print("No domains yet. Add one: nexus domains add www.tienda.com --shop NAME")
    else:
        rows = [
            (each.unicode, each.shop, state, ago(each.added_at), _ascii(each))
            for each, state in found
        ]
        print_table(("DOMAIN", "SHOP", "STATE", "ADDED", "IN DNS"), rows)
        if any(state == AWAY for _, state in found):
            print(f"\n{EXPLAINED[AWAY]}")


def _ascii(domain: Domain) -> str:
    return "" if domain.name == domain.unicode else domain.name


async def _list(args: argparse.Namespace, environ: Mapping[str, str]) -> list[tuple[Domain, str]]:
    tenant = (await shop_of(environ, args.shop)).tenant if args.shop else None
    async with open_database(environ) as database, database.engine() as connection:
        since = await seconds_since_reached(connection)
        return [(one, state_of(one, since)) for one in await domains(connection, tenant)]


async def _add(args: argparse.Namespace, name: str, environ: Mapping[str, str]) -> dict[str, Any]:
    shop = await shop_of(environ, args.shop)
    settings = settings_here(environ)
    async with open_database(environ) as database:
        async with database.engine() as connection, _kept(connection, not args.dry_run):
            try:
                added = await add_domain(connection, shop.tenant, name, actor=ACTOR)
            except LookupError as other:
                raise Refused(
                    f"{shown(name)} cannot be added: another shop has {shown(str(other))};"
                    " see `nexus domains`"
                ) from None
        state = WAITING if args.dry_run else await _applied(database, added)
    record = record_to_make(name, settings, with_running_stack(environ))
    return {**_document(added, state), "dns": record, "remedy": remedy(record, settings)}


async def _applied(database: Database, added: Domain) -> str:
    """Wait a little until a gateway has told Caddy; return how far it is."""
    deadline = asyncio.get_running_loop().time() + APPLY_SECONDS
    while True:
        async with database.engine() as connection:
            found = {one.name: one for one in await domains(connection, added.tenant)}
            since = await seconds_since_reached(connection)
        state = state_of(found.get(added.name, added), since)
        if state == APPLIED or asyncio.get_running_loop().time() > deadline:
            return state
        await asyncio.sleep(LOOK_SECONDS)


async def _remove(args: argparse.Namespace, name: str, environ: Mapping[str, str]) -> bool:
    tenant = (await shop_of(environ, args.shop)).tenant if args.shop else None
    async with (
        open_database(environ) as database,
        database.engine() as connection,
        _kept(connection, not args.dry_run),
    ):
        return await remove_domain(connection, name, tenant=tenant, actor=ACTOR)


def _removed(args: argparse.Namespace, name: str, gone: bool) -> int:
    if args.json:
        print_json({"name": name, "unicode": shown(name), "removed": gone and not args.dry_run})
    elif not gone:
        whose = f" of {args.shop}" if args.shop else ""
        print(f"{shown(name)} is no domain{whose}; see `nexus domains`")
    else:
        done = "would be removed" if args.dry_run else "is removed: Caddy answers 404 under it"
        print(f"{shown(name)} {done}")
    return 0 if gone else 1


class _kept:  # noqa: N801 - reads as a word in `with`
    """A transaction whose work is kept, or undone at the end of a dry run."""

    def __init__(self, connection: Any, keep: bool) -> None:
        self._transaction = connection.transaction()
        self._keep = keep

    async def __aenter__(self) -> None:
        await self._transaction.start()

    async def __aexit__(self, kind: object, _error: object, _trace: object) -> None:
        if self._keep and kind is None:
            await self._transaction.commit()
        else:
            await self._transaction.rollback()


COMMAND = Command(
    "domains",
    "List shops' own domains; add or remove one.",
    add_arguments,
    run,
    example="nexus domains add www.tienda.com --shop pampa",
)
