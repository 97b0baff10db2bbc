"""Kill everything under load: is anything lost, doubled, out of order, stuck or blamed?"""

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import asyncpg
import uvloop

from bench.client import Client
from bench.faults import Faults
from bench.stack import ROOT, Running, stack

LANES = 50
LONERS = 20
PER_SECOND = 200
LEASE_SECONDS = 3.0
SETTLE_SECONDS = 60.0
TABLE = """
CREATE TABLE effect (
    serial bigserial, number int, lane text, place int, invocation bigint, epoch bigint, worker int,
    ours boolean);
GRANT INSERT ON effect TO nexus_app;
GRANT USAGE ON SEQUENCE effect_serial_seq TO nexus_app;
-- The referee: as an effect is committed, whose is the invocation really?
CREATE FUNCTION referee() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    NEW.ours := EXISTS (
        SELECT FROM work w LEFT JOIN lane x ON x.tenant = w.tenant AND x.lane = w.lane
        WHERE w.id = NEW.invocation AND coalesce(x.worker, w.worker) = NEW.worker
          AND coalesce(x.epoch, w.epoch) = NEW.epoch);
    RETURN NEW;
END $$;
CREATE TRIGGER referee BEFORE INSERT ON effect FOR EACH ROW EXECUTE FUNCTION referee();
"""


@dataclass
class Load:
    """What was sent, and what was acknowledged."""

    running: Running
    numbers: Any = field(default_factory=count)
    acked: dict[int, set[str]] = field(default_factory=dict)
    """Ids that were answered, by number."""

    async def stream(self, lane: str | None, until: float, pause: float) -> None:
        """Send one event after another; repeat each under its key until it is acknowledged."""
        card = self.running.card
        client = Client(card.private_address, card.environment["INTERNAL_API_TOKEN"])
        loop = asyncio.get_running_loop()
        due = loop.time() + pause * (hash(lane or id(client)) % 100) / 100
        for place in count():
            await asyncio.sleep(max(0.0, due - loop.time()))
            due = max(due + pause, loop.time() - 5 * pause)
            if loop.time() >= until:
                break
            number = next(self.numbers)
            slow = 0.4 if number % 8 == 0 else 0.01
            await self._send(
                client, {"number": number, "lane": lane, "place": place, "seconds": slow}
            )
        client.close()

    async def _send(self, client: Client, event: dict[str, Any]) -> None:
        number = event["number"]
        key = f"Idempotency-Key: bench-{number}"
        while True:
            try:
                async with asyncio.timeout(20):
                    answer = await client.post(
                        "/functions/append", event, key, "Prefer: respond-async"
                    )
            except (OSError, TimeoutError):
                await asyncio.sleep(0.05)
                continue
            if answer.status in (200, 202):
                found = answer.json()
                name = str(found.get("id")) if isinstance(found, dict) else ""
                self.acked.setdefault(number, set()).add(name)
                return
            if answer.status < 500:
                raise RuntimeError(f"{answer.status} {answer.body!r}")
            await asyncio.sleep(0.05)


class SecondWorker:
    """Another worker, so that somebody is there to see the first one die. Started again at once."""

    def __init__(self, running: Running) -> None:
        self._environment = running.environment()
        self._log = (running.folder / "second-worker.log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None

    def pid(self) -> int | None:
        """Return its process, if it lives."""
        alive = self._process is not None and self._process.poll() is None
        return self._process.pid if alive and self._process is not None else None

    async def run(self) -> None:
        """Keep it running until cancelled."""
        try:
            while True:
                if self.pid() is None:
                    self._process = subprocess.Popen(  # noqa: ASYNC220 - returns at once
                        [sys.executable, "-m", "gateway.cli", "work"],
                        cwd=ROOT,
                        env=self._environment,
                        stdin=subprocess.DEVNULL,
                        stdout=self._log,
                        stderr=self._log,
                    )
                await asyncio.sleep(0.2)
        finally:
            if self._process is not None and self._process.poll() is None:
                self._process.terminate()
                await asyncio.to_thread(self._process.wait)


async def bench(running: Running, seconds: float, seed: int) -> dict[str, Any]:
    """Load and harm; then wait until nothing is owed, and count."""
    dsn = running.card.environment["POSTGRES_DSN"]
    await prepare(dsn)
    load, second = Load(running), SecondWorker(running)
    faults = Faults(running, LEASE_SECONDS, seed, second.pid)
    keeping = asyncio.create_task(second.run())
    until = asyncio.get_running_loop().time() + seconds
    streams = [load.stream(f"lane-{n}", until, LANES * 2 / PER_SECOND) for n in range(LANES)]
    streams += [load.stream(None, until, LONERS * 2 / PER_SECOND) for _ in range(LONERS)]
    try:
        await asyncio.gather(faults.run(seconds), *streams)
        owed = await settle(dsn)
        found = await judge(dsn, load)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    print("faults:", ", ".join(f"{kind} {n}" for kind, n in sorted(faults.done.items())))
    return {"acked": len(load.acked), "faults": faults.done.total(), **found, "stuck": owed}


async def prepare(dsn: str) -> None:
    """Make the table of effects."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(TABLE)
    await connection.close()


async def settle(dsn: str) -> int:
    """Wait until nothing is owed; returns how much still is."""
    owed, until = 1, asyncio.get_running_loop().time() + SETTLE_SECONDS
    while owed and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(0.5)
        try:
            connection = await asyncpg.connect(dsn, timeout=5)
            owed = await connection.fetchval(
                "SELECT (SELECT count(*) FROM work) + (SELECT count(*) FROM lane"
                " WHERE worker IS NOT NULL AND NOT EXISTS (SELECT FROM work w"
                " WHERE w.tenant = lane.tenant AND w.lane = lane.lane))"
            )
            await connection.close()
        except (OSError, asyncpg.PostgresError, TimeoutError):
            owed = -1
    return owed


async def judge(dsn: str, load: Load) -> dict[str, int]:
    """Compare what was acknowledged with what was committed."""
    connection = await asyncpg.connect(dsn)
    done = {
        int(row["result"])
        for row in await connection.fetch("SELECT result FROM outcome WHERE state = 'd'")
    }
    effects = await connection.fetch("SELECT * FROM effect ORDER BY serial")
    blamed = await connection.fetchval(
        "SELECT (SELECT count(*) FROM work WHERE crashes > 0)"
        " + (SELECT count(*) FROM outcome WHERE state <> 'd')"
        " + (SELECT count(*) FROM failure WHERE kind = 'crash')"
    )
    await connection.close()
    print(
        "runs that repeated a commit:", len(effects) - len({row["invocation"] for row in effects})
    )
    committed = {row["number"] for row in effects}
    return {
        "lost": sum(number not in done or number not in committed for number in load.acked),
        "doubled_commits": sum(not row["ours"] for row in effects) + twice(effects, load),
        "out_of_order": disorder(effects),
        "blamed_innocents": blamed,
    }


def twice(effects: Sequence[Any], load: Load) -> int:
    """Count events that became more than one invocation."""
    invocations: dict[int, set[int]] = {}
    for row in effects:
        invocations.setdefault(row["number"], set()).add(row["invocation"])
    answered = sum(len(ids) > 1 for ids in load.acked.values())
    return answered + sum(len(ids) > 1 for ids in invocations.values())


def disorder(effects: Sequence[Any]) -> int:
    """Count commits in a lane that came after a later one's."""
    furthest: dict[str, int] = {}
    found = 0
    for row in effects:
        if row["lane"] is None:
            continue
        found += row["place"] < furthest.get(row["lane"], 0)
        furthest[row["lane"]] = max(row["place"], furthest.get(row["lane"], 0))
    return found


def main() -> int:
    """Run, print, and say by the exit code whether everything was right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seconds", type=float, help="of load (quick: 25, else 120)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mutant", choices=["fence", "ack_before_commit"])
    args = parser.parse_args()
    seconds = args.seconds or (25.0 if args.quick else 120.0)
    print(
        f"{PER_SECOND}/s for {seconds:g} s, half of them on {LANES} lanes; lease"
        f" {LEASE_SECONDS:g} s (product: 30 s); two workers; seed {args.seed};"
        f" mutant {args.mutant or 'none'}"
    )
    environment = {"NEXUS_LEASE_SECONDS": str(LEASE_SECONDS), "NEXUS_FUNCTIONS": "bench.functions"}
    if args.mutant:
        environment["NEXUS_MUTANT"] = args.mutant
    loop = uvloop.new_event_loop
    with stack(**environment) as running, asyncio.Runner(loop_factory=loop) as runner:
        found = runner.run(bench(running, seconds, args.seed))
    print(json.dumps(found))
    wrong = [name for name in found if name not in ("acked", "faults") and found[name]]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
