"""Does a worker stay as fast all the way through a long backlog?"""

import argparse
import json
import sys

from bench.peers.__main__ import place_of
from bench.peers.measures import CONCURRENCY, Arena, settling
from bench.peers.rounds import tell
from bench.servers import Servers, servers

JOBS = {"noop": 600_000, "lanes_1000": 400_000, "lanes_10": 200_000}
QUICK_TIMES = 0.25
SECONDS = 120.0
PARTS = 5
"""The first and the last of so many parts are compared."""


def work_off(own: Servers, kind: str, jobs: int) -> dict[str, float]:
    """Return the no-ops per second in the first part of a backlog and in the last, and of all."""
    arena = Arena(own, place_of(own, "nexus", sys.executable, "nexus"))
    arena.clear()
    arena.place.sender("send", kind, jobs)
    with arena.place.worker(CONCURRENCY) as worker, settling(arena) as settled:
        times = sorted(one.later for one in worker.until(jobs, SECONDS))
        settled()
    if len(times) < jobs:
        raise SystemExit(f"{kind}: {len(times):,} of {jobs:,} were done in {SECONDS:.0f} s")
    part = len(times) // PARTS
    spans = {"first": times[:part], "last": times[-part:], "all": times}
    found: dict[str, float] = {
        f"{name}_per_s": round(len(span) / (span[-1] - span[0])) for name, span in spans.items()
    }
    return {
        "jobs": len(times),
        **found,
        "ratio": round(found["last_per_s"] / found["first_per_s"], 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="nexus bench backlog", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a quarter as many")
    times = QUICK_TIMES if parser.parse_args().quick else 1.0
    found = {}
    with servers() as own:
        for kind, jobs in JOBS.items():
            found[kind] = work_off(own, kind, round(jobs * times))
            tell(f"  {kind:<12} {found[kind]}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
