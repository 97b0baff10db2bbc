"""Compare the database with the declared schema; with --fix, repair what only adds."""

import argparse
import asyncio
from collections.abc import Iterator, Mapping

from gateway.cli.command import Command
from gateway.cli.environment import settings_here
from gateway.cli.output import local_time, print_json, safe
from runtime.errors import ServerAway
from runtime.line import dsn_of
from state import surgeon
from state.errors import DatabaseAway
from state.surgeon import Finding, PastReport, Report

GROUPS = (
    # (state, what is said above its findings)
    ("repaired", "Repaired"),
    ("repairable", "Can be repaired without touching a row (nexus doctor --fix)"),
    ("refused", "For you to decide. Nothing was done; this would do it"),
    ("left", "Of unknown origin, in nobody's way, and left alone"),
)
WHOLE = "The database is as declared."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "--fix", action="store_true", help="repair what only adds, all of it in one transaction"
    )
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Examine or operate; 0 when nothing is left to do, 1 when something is."""
    dsn = dsn_of(settings_here(environ))
    try:
        report, past = asyncio.run(_looked(dsn, fix=args.fix))
    except DatabaseAway as error:
        raise ServerAway(f"Postgres does not answer ({error})") from None
    if args.json:
        print_json(document(report, past))
    else:
        print("\n".join(told(report)))
        if past:
            print("\nEarlier:")
        for each in past:
            times = f", {each.times} times" if each.times > 1 else ""
            ended = "" if each.ended_at else "; stands"
            print(
                f"  {local_time(each.at)}  {each.repaired} repaired, {each.refused} refused"
                f"{times}{ended}"
            )
    return 0 if report.whole else 1


def document(report: Report, past: list[PastReport]) -> dict[str, object]:
    """Return it for machines."""
    return {
        "whole": report.whole,
        "skipped": report.skipped or None,
        "findings": [finding.document() for finding in report.findings],
        "reports": [vars(each) for each in past],
    }


def told(report: Report) -> Iterator[str]:
    """Yield the lines that tell a person what was found, with the SQL for each."""
    if report.skipped:
        yield f"Nothing was compared: {report.skipped}"
    elif not report.findings:
        yield WHOLE
    between = ""
    for state, title in GROUPS:
        found = report.of(state)
        if found:
            yield f"{between}{title}:"
            between = "\n"
        new = {finding.fact.name for finding in found if finding.fact.kind == "table"}
        for finding in found:
            if finding.fact.place.removeprefix("TABLE ") not in new:
                yield from _one(finding, len(new) and _parts(finding, found))


def _parts(table: Finding, found: list[Finding]) -> int:
    """Count what belongs to a table that is missing as a whole."""
    name = table.fact.name if table.fact.kind == "table" else None
    return sum(each.fact.place.removeprefix("TABLE ") == name for each in found)


def _one(finding: Finding, parts: int) -> Iterator[str]:
    more = f", and with it {parts} columns, keys, policies, …" if parts else ""
    yield f"\n  {safe(finding.what)}{more}"
    if finding.reason and finding.state != "left":
        yield f"    {safe(finding.reason)}"
    # What is left alone may hold somebody's rows: its DROP is not put under anybody's nose.
    for statement in finding.statements if finding.state != "left" else ():
        lines = f"{safe(statement)};".splitlines()
        short = finding.state != "refused" or finding.fact.kind == "function"
        shown = lines[:1] if short else lines
        yield from (f"      {line}" for line in shown)
        if len(lines) > len(shown):
            yield f"      … {len(lines) - len(shown)} lines more; --json has them all"


async def _looked(dsn: str, *, fix: bool) -> tuple[Report, list[PastReport]]:
    """Look first at what was found before, so that this time is not among it."""
    past = await surgeon.past_reports(dsn)
    return await (surgeon.operate(dsn) if fix else surgeon.examine(dsn)), past


COMMAND = Command(
    "doctor",
    "Compare the database with the declared schema: tables, indexes, routines, policies, grants.",
    add_arguments,
    run,
    example="nexus doctor --fix",
)
