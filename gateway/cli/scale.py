"""`nexus scale`: what functions have to do, how many processes they get, and why."""

import argparse
import asyncio
import difflib
import sys
from collections.abc import Mapping
from typing import Any

from gateway.cli.command import Command
from gateway.cli.connect import open_database
from gateway.cli.environment import settings_here
from gateway.cli.output import print_json, print_table
from runtime.host.stack import read_processes
from runtime.scale import desired, service_seconds
from state.scaling import Demand, demands

WRONG_USAGE = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("functions", nargs="*", metavar="FUNCTION", help="only these")
    parser.add_argument("--explain", action="store_true", help="also say why, a line each")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print what there is to do, and what was decided."""
    found = {each.function: each for each in asyncio.run(_demands(environ))}
    for name in args.functions:
        if name not in found:
            near = difflib.get_close_matches(name, found, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            print(f"nexus: no worker has declared a function {name!r}{hint}", file=sys.stderr)
            return WRONG_USAGE
    said = read_processes(settings_here(environ).state_dir)
    shown = [_described(found[name], said) for name in args.functions or found]
    if args.json:
        print_json({"functions": shown, "supervised": bool(said)})
    elif not shown:
        print("No worker has declared its functions yet. Start one: nexus up, or nexus work.")
    else:
        _print(shown, explain=args.explain, supervised=bool(said))
    return 0


async def _demands(environ: Mapping[str, str]) -> list[Demand]:
    async with open_database(environ) as database, database.engine() as connection:
        return await demands(connection)


def _described(demand: Demand, said: Mapping[str, Any]) -> dict[str, Any]:
    """Return a function as JSON shows it; what the supervisor said, where one runs."""
    decision = next((d for d in said.get("scaling", ()) if d["function"] == demand.function), None)
    own = [
        process
        for process in said.get("processes", ())
        if process["name"].rpartition(".")[0] == demand.function and process["pid"]
    ]
    return {
        **demand._asdict(),
        "service_seconds": service_seconds(demand),
        "processes": 1 + len(own) if said else None,
        "desired": decision["processes"] if decision else desired(demand),
        "reason": decision["reason"] if decision else "by this moment alone: no supervisor here",
    }


def _print(shown: list[dict[str, Any]], *, explain: bool, supervised: bool) -> None:
    rows = []
    for each in shown:
        took = each["service_seconds"]
        waiting = f"{each['waiting']}{'+' if each['waiting'] >= 5000 else ''}"
        rows.append(
            (
                each["function"],
                f"{each['minimum']}-{each['maximum']}",
                waiting,
                each["running"],
                f"{each['oldest_seconds']:.1f} s" if each["waiting"] else "-",
                f"{took * 1000:.0f} ms" if took is not None else "-",
                "-" if each["processes"] is None else each["processes"],
                each["desired"],
            )
        )
    header = ("FUNCTION", "SCALE", "WAITING", "RUNNING", "OLDEST", "TAKES", "PROCESSES", "DESIRED")
    print_table(header, rows)
    if explain:
        width = max(len(each["function"]) for each in shown)
        print()
        for each in shown:
            print(f"{each['function']:<{width}}  {each['desired']}: {each['reason']}")
    if supervised:
        print("\nThe worker of all functions counts as one process of each.")


COMMAND = Command(
    "scale",
    "Show what functions have to do, how many processes they get, and why.",
    add_arguments,
    run,
    example="nexus scale --explain agent_run",
)
