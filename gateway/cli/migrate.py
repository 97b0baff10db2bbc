"""Bring the database to this version."""

import argparse
import asyncio
from collections.abc import Mapping

from gateway.cli.command import Command
from gateway.cli.environment import settings_here
from gateway.cli.output import print_json
from runtime.errors import ConfigurationError, ServerAway
from runtime.line import dsn_of
from state.errors import DatabaseUnfit, StateFault
from state.migrate import migrate, pending


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--dry-run", action="store_true", help="only name what is missing")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Migrate."""
    dsn = dsn_of(settings_here(environ))
    try:
        names = asyncio.run(pending(dsn) if args.dry_run else migrate(dsn))
    except DatabaseUnfit as error:
        raise ConfigurationError(str(error)) from None
    except StateFault as error:
        raise ServerAway(f"Postgres does not answer ({error})") from None
    if args.json:
        print_json({"missing" if args.dry_run else "applied": names})
    elif names:
        print("\n".join(names))
    else:
        print("The database is at this version.")
    return 0


COMMAND = Command(
    "migrate",
    "Bring the database to this version: tables, routines, roles. Safe to run twice.",
    add_arguments,
    run,
)
