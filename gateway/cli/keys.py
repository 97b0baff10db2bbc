"""The keys that seal credentials: which there are, a new one, and sealing anew."""

import argparse
import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from gateway.cli.command import Command, Refused, WrongUsage
from gateway.cli.connect import open_database
from gateway.cli.environment import settings_here
from gateway.cli.output import local_time, print_json, print_table
from gateway.cli.progress import Progress
from runtime.host.keys import keep, kept_here
from runtime.host.layout import Layout
from runtime.keys import ring_of
from runtime.settings import Settings
from state.audit import record
from state.backup.records import Kept, call_gone, kept_backups, needs
from state.database import Database
from state.keyring import KeyRing, new_key, without
from state.keys import START, KeyUse, count_old, key_uses, needing, reseal, unopened

ACTIONS = ("status", "new", "rotate", "retire", "verify")
ACTOR = "cli"
SHOWN = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="status")
    parser.add_argument("key", nargs="?", metavar="KEY_ID", help="of the key to retire")
    parser.add_argument("--batch", type=int, default=500, help="credentials per commit (500)")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument(
        "--install",
        action="store_true",
        help="new, retire: change the ring that `nexus up` keeps for this machine",
    )
    parser.add_argument(
        "--backups-gone",
        action="store_true",
        help="retire: nobody keeps the back-ups that need this key",
    )
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Show, make, rotate, retire or verify."""
    if (args.action == "retire") != (args.key is not None):
        raise WrongUsage("a key's id goes with retire: nexus keys retire KEY_ID")
    if args.batch < 1:
        raise WrongUsage("--batch needs a number from 1 on")
    settings = settings_here(environ)
    if args.action == "new":
        return _new(settings, args)
    return asyncio.run(_run(args, environ, settings))


async def _run(args: argparse.Namespace, environ: Mapping[str, str], settings: Settings) -> int:
    ring = ring_of(settings)
    async with open_database(environ) as database:
        if args.action == "rotate":
            return await _rotate(database, ring, args)
        if args.action == "verify":
            return await _verify(database, ring, args)
        async with database.engine() as connection:
            uses = await key_uses(connection)
            kept = await kept_backups(connection)
        if args.action == "retire":
            return await _retire(database, settings, ring, uses, kept, args)
    return _status(ring, uses, kept, args.json)


class Row(NamedTuple):
    """One key, as people see it."""

    key: str
    role: str
    """`seals`, `opens`, or `missing` although something needs it."""
    credentials: int
    backups: int
    """That need it, as far as they were made or restored here."""
    oldest_backup: datetime | None
    shops: list[str]
    """Whose credentials are sealed without it."""


def _status(ring: KeyRing, uses: list[KeyUse], kept: list[Kept], as_json: bool) -> int:
    rows = []
    for kid in ring.ids():
        found = [one.made_at for one in kept if needs(one, ring, kid)]
        role = "seals" if kid == ring.first else "opens"
        oldest = min(found, default=None)
        rows.append(Row(kid, role, needing(uses, ring, kid), len(found), oldest, []))
    for use in uses:
        if not ring.knows(use.key_id):
            found = [one.made_at for one in kept if use.key_id in one.key_ids]
            oldest = min(found, default=None)
            missing = Row(use.key_id, "missing", use.credentials, len(found), oldest, use.shops)
            rows.append(missing)
    if as_json:
        print_json([row._asdict() for row in rows])
    else:
        print_table(
            ("KEY", "ROLE", "CREDENTIALS", "BACK-UPS", "OLDEST", "SHOPS"),
            [(*row[:4], local_time(row.oldest_backup), ", ".join(row.shops)) for row in rows],
        )
        if any(row.role == "opens" and row.credentials for row in rows):
            print("\nSeal everything with the first key: nexus keys rotate")
        if any(row.role == "missing" for row in rows):
            print(
                "\nPut the missing keys back into ENCRYPTION_KEY, or enter those secrets again:"
                " nexus channels add, nexus apps add."
            )
    return 1 if any(row.role == "missing" for row in rows) else 0


def _new(settings: Settings, args: argparse.Namespace) -> int:
    entry = new_key()
    kid = entry.partition(":")[0]
    if args.install:
        layout = Layout.at(settings.state_dir)
        keep(layout, "encryption_key", f"{entry},{_kept(layout)}")
        if args.json:
            print_json({"key": kid, "installed": True})
        else:
            print(
                f"Key {kid} is first in this machine's ring now. Stop Nexus, start it again, then:"
                " nexus keys rotate"
            )
    elif args.json:
        print_json({"key": kid, "entry": entry})
    else:
        print(entry)
        print(
            "\nPut it before what ENCRYPTION_KEY holds, with a comma between them, for every"
            " process:\n  ENCRYPTION_KEY=<this one>,<what it was>\nRestart them all, then:"
            " nexus keys rotate"
        )
    return 0


async def _rotate(database: Database, ring: KeyRing, args: argparse.Namespace) -> int:
    async with database.engine() as connection:
        whole = await count_old(connection, ring)
    done, after = 0, START
    refused: list[tuple[UUID, str]] = []
    progress = Progress("sealing anew", shown=not (args.json or args.dry_run))
    while not args.dry_run:
        async with database.engine() as connection, connection.transaction():
            batch = await reseal(connection, ring, after, args.batch)
            if batch.resealed:
                await record(
                    connection,
                    actor=ACTOR,
                    action="keys.rotate",
                    subject=ring.first,
                    detail={"credentials": batch.resealed},
                )
        done += batch.resealed
        refused += batch.refused
        progress.at(done, whole)
        if batch.last is None:
            break
        after = batch.last
    progress.end()
    if args.json:
        print_json({"key": ring.first, "old": whole, "resealed": done, "refused": len(refused)})
    elif args.dry_run:
        print(f"{whole} credentials would be sealed anew with key {ring.first}.")
    else:
        print(f"{done} credentials are sealed anew with key {ring.first}.")
        for one, why in refused:
            print(f"{one}: {why}")
    return 1 if refused else 0


async def _retire(
    database: Database,
    settings: Settings,
    ring: KeyRing,
    uses: list[KeyUse],
    kept: list[Kept],
    args: argparse.Namespace,
) -> int:
    kid = ring.named(args.key)
    if kid is None:
        raise Refused(f"the ring has no key {args.key!r}; see nexus keys")
    if kid == ring.first:
        raise Refused(f"{kid} seals: put another key before it first; nexus keys new")
    left = needing(uses, ring, kid)
    backups = [one for one in kept if needs(one, ring, kid)]
    free = not left and (args.backups_gone or not backups)
    if free and not args.dry_run:
        await _let_go(database, settings, kid, backups, install=args.install)
    if args.json:
        document = {"key": kid, "retired": free and not args.dry_run, "credentials": left}
        print_json({**document, "backups": [one.file for one in backups]})
    elif left:
        print(f"{left} credentials still need key {kid}. First: nexus keys rotate")
    elif not free:
        print(f"{len(backups)} back-ups need key {kid}: without it, their credentials stay sealed.")
        for one in backups[:SHOWN]:
            print(f"  {local_time(one.made_at)}  {one.file}")
        print(f"Delete them, or keep the key; then: nexus keys retire {kid} --backups-gone")
    elif args.dry_run:
        print(f"No credential needs key {kid}.")
    else:
        if args.install:
            print(f"Key {kid} left this machine's ring; the next start is without it.")
        else:
            print(f"No credential needs key {kid}: take it out of ENCRYPTION_KEY.")
        print("Keep it for as long as you keep copies of older back-ups somewhere else.")
    return 0 if free else 1


async def _let_go(
    database: Database, settings: Settings, kid: str, backups: list[Kept], *, install: bool
) -> None:
    """Note that nothing needs a key any more, and take it out of this machine's ring if asked."""
    async with database.engine() as connection, connection.transaction():
        await call_gone(connection, backups)
        detail = {"backups_gone": len(backups)}
        await record(connection, actor=ACTOR, action="keys.retire", subject=kid, detail=detail)
    if install:
        layout = Layout.at(settings.state_dir)
        keep(layout, "encryption_key", without(_kept(layout), kid))


async def _verify(database: Database, ring: KeyRing, args: argparse.Namespace) -> int:
    tried = 0
    wrong: list[tuple[UUID, str]] = []
    async with database.engine() as connection, connection.transaction(readonly=True):
        async for one, why in unopened(connection, ring):
            tried += 1
            if why is not None:
                wrong.append((one, why))
    if args.json:
        print_json({"tried": tried, "wrong": [{"credential": str(i), "why": w} for i, w in wrong]})
    else:
        for one, why in wrong:
            print(f"{one}: {why}")
        print(f"{tried - len(wrong)} of {tried} credentials open.")
    return 1 if wrong else 0


def _kept(layout: Layout) -> str:
    found = kept_here(layout, "encryption_key")
    if found is None:
        raise WrongUsage(
            "--install is for the ring that `nexus up` made on this machine, and there is none:"
            " change ENCRYPTION_KEY where you set it"
        )
    return found


COMMAND = Command(
    "keys",
    "The keys that seal credentials: which there are, a new one, and sealing anew.",
    add_arguments,
    run,
    example="nexus keys rotate --dry-run",
)
