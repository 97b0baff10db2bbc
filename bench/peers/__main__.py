"""Nexus beside rq, taskiq, saq, arq, dramatiq, celery, procrastinate and dbos."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from bench.peers.environments import NotInstalled, python_of
from bench.peers.measures import Arena, dispatch, enqueue, idle_latency, together, waits
from bench.peers.processes import Place
from bench.peers.sizes import FULL, Sizes, sizes_of
from bench.servers import Servers, servers
from runtime.settings import load_settings

ROUNDS = 3
OTHER_DATABASES = ("procrastinate", "dbos")


def tell(text: str) -> None:
    """Say how far it is, beside the result."""
    print(text, file=sys.stderr, flush=True)


def places(own: Servers, names: list[str]) -> dict[str, Place]:
    """Return where each contender runs; one that cannot be installed is told and left out."""
    cache = load_settings(os.environ).state_dir / "cache" / "peers"
    found = {}
    for name in names:
        try:
            python = python_of(name, cache)
        except NotInstalled as problem:
            tell(f"  {name} is not installed, its figures are null: {problem}")
            continue
        environment = own.environment(
            NEXUS_FUNCTIONS="bench.peers.functions", NEXUS_LOG_LEVEL="warning"
        )
        if name in OTHER_DATABASES:
            environment["POSTGRES_DSN"] = own.dsn.replace("/nexus?", f"/{name}?")
        found[name] = Place(
            name, python, environment, own.folder / "record", own.folder / f"{name}.log"
        )
    return found


class Found:
    """Every figure of every round; their medians are the result."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, ...], list[float]] = defaultdict(list)

    def add(self, value: Any, *path: str) -> None:
        """Add a number, or an object of numbers; None adds nothing."""
        if isinstance(value, dict):
            for name, one in value.items():
                self.add(one, *path, name)
        elif value is not None:
            self.values[path].append(value)

    def medians(self) -> dict[str, Any]:
        """Return the medians, as the JSON is shaped."""
        shaped: dict[str, Any] = {}
        for path, values in self.values.items():
            inner = shaped
            for name in path[:-1]:
                inner = inner.setdefault(name, {})
            inner[path[-1]] = round(statistics.median(values), 3)
        return shaped


def measures(arena: Arena, sizes: Sizes) -> Iterator[tuple[Callable[[], Any], list[str]]]:
    """Give what is measured of a contender, each with its place in the result."""
    name = arena.place.name
    yield lambda: dispatch(arena, sizes), ["dispatch", name]
    yield lambda: idle_latency(arena, sizes.paces), ["idle_latency", name]
    if sizes.many:
        yield lambda: enqueue(arena, sizes), ["enqueue", name]
    for count in sizes.waits:
        yield partial(waits, arena, count, sizes.seconds), [f"waits_{count}", name]
    if name == "nexus":
        yield lambda: dispatch(arena, sizes, "lanes_1000"), ["dispatch_lanes_1000"]
        yield lambda: dispatch(arena, sizes, "lanes_10"), ["dispatch_lanes_10"]
        yield lambda: together(arena, sizes), ["together"]


def measure(arena: Arena, found: Found, *, quick: bool) -> None:
    """Measure one contender once; what goes wrong is told, and is null in the result."""
    for take, path in measures(arena, sizes_of(arena.place.name, quick=quick)):
        began = time.monotonic()
        try:
            value = take()
        except (RuntimeError, subprocess.TimeoutExpired) as problem:
            tell(f"  {arena.place.name}, {path[0]}: {problem}")
            value = None
        found.add(value, *path)
        tell(f"  {arena.place.name:<14} {path[0]:<20} {time.monotonic() - began:6.1f} s  {value}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="nexus bench peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, fewer jobs")
    parser.add_argument("--only", default=",".join(FULL), help="names, with commas between them")
    parser.add_argument("--rounds", type=int, default=0)
    arguments = parser.parse_args()
    rounds = arguments.rounds or (1 if arguments.quick else ROUNDS)
    found = Found()
    with servers() as own:
        for database in OTHER_DATABASES:
            own.run(f"CREATE DATABASE {database}", database="postgres")
        ready = places(own, arguments.only.split(","))
        for each in range(rounds):
            for name, place in ready.items():
                tell(f"round {each + 1}, load {os.getloadavg()[0]:.1f}")
                measure(Arena(own, place), found, quick=arguments.quick)
    print(json.dumps(found.medians()))


if __name__ == "__main__":
    main()
