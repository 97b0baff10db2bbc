"""Is it as fast with a million finished and 200,000 waiting invocations as with none?"""

import argparse
import json
import os
import sys
from typing import Any

from bench.peers.__main__ import place_of
from bench.peers.measures import Arena
from bench.peers.rounds import Found, measure, tell
from bench.peers.sizes import Sizes, sizes_of
from bench.servers import Servers, servers

ROUNDS = 3
FINISHED, WAITING = 1_000_000, 200_000
TIMES = ("wall_s", "pss_mb", "p50_ms", "p99_ms")
"""Figures of which less is better."""

GROW = (
    """
    INSERT INTO function (name) VALUES ('noop'), ('wait'), ('in_lane')
    ON CONFLICT DO NOTHING
    """,
    f"""
    WITH past AS MATERIALIZED (
        SELECT nextval('invocation_id') AS id, n FROM generate_series(1, {FINISHED}) n),
    asked AS (
        INSERT INTO invocation (id, tenant, fn, event, created_at)
        SELECT id, n % 50, 1 + n % 3, '{{"sent_at": 0.0}}', now() - interval '1 day' FROM past)
    INSERT INTO outcome (id, state, epoch, result, done_at)
    SELECT id, 'd', 1, NULL, now() - interval '1 day' FROM past
    """,
    # A quarter is due and belongs to a function that nobody serves, a quarter stands in lines;
    # the rest is due tomorrow, of the very functions that are measured.
    f"""
    WITH coming AS MATERIALIZED (
        SELECT nextval('invocation_id') AS id, n % 50 AS tenant,
               CASE n % 4 WHEN 0 THEN 0 WHEN 1 THEN lined.fn ELSE plain.fn END AS fn,
               CASE n % 4 WHEN 1 THEN n % 5000 END AS lane,
               now() + CASE n % 4 WHEN 0 THEN interval '-1 hour' ELSE interval '1 day' END AS run_at
        FROM generate_series(1, {WAITING}) n, function plain, function lined
        WHERE plain.name = 'noop' AND lined.name = 'in_lane'),
    asked AS (
        INSERT INTO invocation (id, tenant, fn, lane, event, created_at)
        SELECT id, tenant, fn, lane, '{{"sent_at": 0.0}}', now() FROM coming),
    lines AS (
        INSERT INTO lane (tenant, lane, fn, run_at)
        SELECT DISTINCT tenant, lane, fn, run_at FROM coming WHERE lane IS NOT NULL)
    INSERT INTO work (id, tenant, fn, lane, run_at)
    SELECT id, tenant, fn, lane, run_at FROM coming
    """,
    "VACUUM ANALYZE",
)


def compare(own: Servers, sizes: Sizes, rounds: int) -> dict[str, Any]:
    """Return the figures of both databases, and their ratios: 1 is equal, less is worse."""
    found = Found()
    own.run("CREATE DATABASE grown TEMPLATE nexus", database="postgres")
    own.run(*GROW, database="grown")
    tell(f"{FINISHED:,} finished and {WAITING:,} waiting rows are there")
    for number in range(rounds):
        for database in ("nexus", "grown"):
            tell(f"round {number + 1}, {database}; load {os.getloadavg()[0]:.1f}")
            place = place_of(own, "nexus", sys.executable, database)
            under = "grown" if database == "grown" else "fresh"
            measure(Arena(own, place, keep=database == "grown"), sizes, found, under)
    medians = found.medians()
    medians["ratio"] = ratios(medians["fresh"], medians["grown"])
    return medians


def ratios(fresh: dict[str, Any], grown: dict[str, Any]) -> dict[str, Any]:
    """Return how the grown one does beside the fresh one, figure by figure."""
    found: dict[str, Any] = {}
    for name, value in fresh.items():
        other = grown.get(name)
        if isinstance(value, dict):
            found[name] = ratios(value, other or {})
        elif other:
            found[name] = round(value / other if name in TIMES else other / value, 2)
        else:
            found[name] = None
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="nexus bench growth", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round")
    quick = parser.parse_args().quick
    with servers() as own:
        found = compare(own, sizes_of("nexus", quick=quick), 1 if quick else ROUNDS)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
