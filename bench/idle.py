"""What a system does that has nothing to do: statements, commands, memory."""

import argparse
import asyncio
import json
import re
import time
from pathlib import Path

import asyncpg
import redis

from bench.stack import Running, stack
from runtime.host.processes import family, pss_bytes

SETTLE_SECONDS = 8.0
SECONDS, QUICK_SECONDS = 60.0, 15.0
STATEMENT = re.compile(r"LOG:  (?:statement|execute [^:]+): \s*([^\n]{0,60})")


async def write_down_statements(running: Running, *, on: bool) -> None:
    """Have Postgres log every statement of every client, or stop."""
    connection = await asyncpg.connect(running.environment()["POSTGRES_DSN"])
    await connection.execute(f"ALTER SYSTEM SET log_statement = '{'all' if on else 'none'}'")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()


def statements(log: Path, since: int) -> list[str]:
    """Return how the statements begin that were logged after this place in the file."""
    return [
        found
        for found in STATEMENT.findall(log.read_bytes()[since:].decode(errors="replace"))
        if not found.startswith(("SELECT pg_reload_conf", "ALTER SYSTEM"))
    ]


def measure(running: Running, seconds: float) -> dict[str, object]:
    """Count for so many seconds."""
    log = running.folder / "logs" / "postgres.log"
    client = redis.Redis.from_url(running.environment()["REDIS_URL"])
    asyncio.run(write_down_statements(running, on=True))
    place, commands = log.stat().st_size, client.info("commandstats")
    time.sleep(seconds)
    found, after = statements(log, place), client.info("commandstats")
    asyncio.run(write_down_statements(running, on=False))
    calls = {
        name.removeprefix("cmdstat_"): after[name]["calls"]
        - commands.get(name, {"calls": 0})["calls"]
        for name in after
        if name != "cmdstat_info"
    }
    each = {
        begin: found.count(begin) for begin in sorted(set(found), key=found.count, reverse=True)
    }
    for begin, count in each.items():
        print(f"  {count / seconds:6.2f}/s  {begin}")
    for name, count in sorted(calls.items(), key=lambda one: -one[1]):
        if count:
            print(f"  {count / seconds:6.2f}/s  redis {name}")
    return {
        "sql_per_s": round(len(found) / seconds, 2),
        "redis_per_s": round(sum(calls.values()) / seconds, 2),
        "pss_mb": round(pss_bytes(family(running.process.pid)) / 2**20, 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="nexus bench idle", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SECONDS:g} s")
    seconds = QUICK_SECONDS if parser.parse_args().quick else SECONDS
    with stack() as running:
        time.sleep(SETTLE_SECONDS)
        print(json.dumps(measure(running, seconds)))


if __name__ == "__main__":
    main()
