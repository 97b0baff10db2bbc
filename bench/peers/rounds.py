"""Every measure of a contender in turn, and the medians over all rounds."""

import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from bench.peers.measures import Arena, dispatch, enqueue, idle_latency, together, waits
from bench.peers.sizes import Sizes


class Found:
    """Every figure of every round; their medians are the result."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, ...], list[float]] = defaultdict(list)

    def add(self, value: Any, *path: str) -> None:
        """Add a number, or an object of numbers; None adds nothing."""
        if isinstance(value, dict):
            for name, one in value.items():
                self.add(one, *path, name)
        elif value is not None:
            self._values[path].append(value)

    def medians(self) -> dict[str, Any]:
        """Return the medians, nested as their paths are."""
        shaped: dict[str, Any] = {}
        for path, values in self._values.items():
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


def measure(arena: Arena, sizes: Sizes, found: Found, *under: str) -> None:
    """Measure one contender once; what goes wrong is told, and is null in the result."""
    for take, path in measures(arena, sizes):
        began = time.monotonic()
        try:
            value = take()
        except (RuntimeError, subprocess.TimeoutExpired) as problem:
            tell(f"  {arena.place.name}, {path[0]}: {problem}")
            value = None
        found.add(value, *under, *path)
        where = " ".join([*under, arena.place.name])
        tell(f"  {where:<14} {path[0]:<20} {time.monotonic() - began:6.1f} s  {value}")


def tell(text: str) -> None:
    """Say how far it is, beside the result."""
    print(text, file=sys.stderr, flush=True)
