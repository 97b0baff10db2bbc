"""Bring the database to this version."""

import argparse
import asyncio
from collections.abc import Mapping

from gateway.cli.command import Command
from gateway.cli.doctor import told
from gateway.cli.environment import settings_here
from gateway.cli.output import print_json
from runtime.errors import ConfigurationError, ServerAway
from runtime.line import dsn_of
from state.errors import DatabaseUnfit, StateFault
from state.migrate import migrate, pending
from state.surgeon import Report, operate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--dry-run", action="store_true", help="only name what is missing")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Migrate."""
    dsn = dsn_of(settings_here(environ))
    try:
        names = asyncio.run(pending(dsn) if args.dry_run else migrate(dsn))
        report = Report() if args.dry_run else asyncio.run(operate(dsn))
    except DatabaseUnfit as error:
        raise ConfigurationError(str(error)) from None
    except StateFault as error:
        raise ServerAway(f"Postgres does not answer ({error})") from None
    if args.json:
        found = [finding.document() for finding in report.findings]
        print_json({"missing": names} if args.dry_run else {"applied": names, "findings": found})
        return 0 if report.startable else 1
    print("\n".join(names) if names else "The database is at this version.")
    if report.of("repaired") or report.of("refused"):
        print("\n".join(told(report)))
    return 0 if report.startable else 1


COMMAND = Command(
    "migrate",
    "Bring the database to this version: tables, routines, roles; repair what is missing of it."
    " Safe to run twice.",
    add_arguments,
    run,
)
