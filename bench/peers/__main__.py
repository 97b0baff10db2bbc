"""Nexus beside rq, taskiq, saq, arq, dramatiq, celery, procrastinate and dbos."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from bench.peers import chart
from bench.peers.environments import NotInstalled, python_of
from bench.peers.intake import CLIENTS, OTHERS, intake
from bench.peers.measures import Arena
from bench.peers.processes import Place
from bench.peers.rounds import Found, measure, tell
from bench.peers.sizes import FULL, sizes_of
from bench.servers import Servers, servers
from runtime.settings import load_settings

ROUNDS = 3
BY_NAME = ("dispatch", "waits_1000", "waits_10000", "idle_latency", "enqueue")
ALONE = ("dispatch_lanes_1000", "dispatch_lanes_10", "together")
OTHER_DATABASES = ("procrastinate", "dbos")


def places(own: Servers, names: list[str], cache: Path) -> list[Place]:
    """Return where each contender runs; one that cannot be installed is told and left out."""
    found = []
    for name in names:
        try:
            python = python_of(name, cache)
        except NotInstalled as problem:
            tell(f"  {name} is not installed, its figures are null: {problem}")
            continue
        database = name if name in OTHER_DATABASES else "nexus"
        found.append(place_of(own, name, python, database))
    return found


def place_of(own: Servers, name: str, python: str, database: str) -> Place:
    """Return where one contender runs."""
    environment = own.environment(
        POSTGRES_DSN=own.dsn_of(database),
        NEXUS_FUNCTIONS="bench.peers.functions",
        NEXUS_LOG_LEVEL="warning",
    )
    log = own.folder / f"{name}.log"
    return Place(name, python, database, environment, own.folder / "record", log)


def shaped(medians: dict[str, Any]) -> dict[str, Any]:
    """Return the result with every key; null where a contender cannot, or was not measured."""
    named = {key: dict.fromkeys(FULL) for key in BY_NAME}
    for key in BY_NAME:
        named[key] |= medians.get(key, {})
    if named["enqueue"]["rq_simple"] is None:  # one queue, two kinds of workers
        named["enqueue"]["rq_simple"] = named["enqueue"]["rq_worker"]
    alone = {key: medians.get(key) for key in ALONE}
    webhooks = {key: dict.fromkeys(["nexus", *OTHERS]) | medians.get(key, {}) for key in CLIENTS}
    return {**named, **alone, **webhooks}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="nexus bench peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, fewer jobs")
    parser.add_argument("--only", default=",".join(FULL), help="names, with commas between them")
    parser.add_argument("--rounds", type=int, default=0, help=f"default: {ROUNDS}; quick: 1")
    parser.add_argument("--write", action="store_true", help="into docs/: result, table, chart")
    arguments = parser.parse_args()
    rounds = arguments.rounds or (1 if arguments.quick else ROUNDS)
    found = Found()
    cache = load_settings(os.environ).state_dir / "cache" / "peers"
    with servers() as own:
        for database in OTHER_DATABASES:
            own.run(f"CREATE DATABASE {database}", database="postgres")
        ready = places(own, arguments.only.split(","), cache)
        for number in range(rounds):
            for place in ready:
                tell(f"round {number + 1}, {place.name}; load {os.getloadavg()[0]:.1f}")
                measure(Arena(own, place), sizes_of(place.name, quick=arguments.quick), found)
        if "nexus" in arguments.only:
            intake(own, cache, found, rounds=rounds, quick=arguments.quick)
    result = shaped(found.medians())
    if arguments.write:
        chart.write(result)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
