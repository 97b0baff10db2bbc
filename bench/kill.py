"""Kill everything while shoppers write: is a message lost, answered twice, or out of order?"""

import argparse
import asyncio
import json
import random
import re
import sys
from collections import Counter, defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import asyncpg
import uvloop

from bench.client import Client
from bench.faults import KINDS, Faults
from bench.kill_functions import SecondWorker
from bench.shop import APP, SECRET, TOKEN, Shopper, open_bench_shop, post_signed, text_message
from bench.stack import Running, free_ports, stack
from tests.providers import model as models
from tests.providers.meta import Guest, Meta, Shares, Taken, server_of
from tests.providers.webhooks import Webhooks

SHOPPERS, PER_SECOND = 60, 30
LEASE_SECONDS, GUARD_SECONDS, HTTP_SECONDS, EVIDENCE_SECONDS = 3.0, 1.0, 1.0, 5.0
PAUSES = {
    # mutant: (share of all sends at which a worker stops itself, for so many seconds). Between
    # intent and first byte, until others have taken over and sent; for `fence`, at the beginning
    # of the transaction, until others own the work
    "none": (0.001, LEASE_SECONDS + EVIDENCE_SECONDS + 4),
    "guard": (0.006, LEASE_SECONDS + EVIDENCE_SECONDS + 4),
    "fence": (0.01, LEASE_SECONDS + 4),
    "ack_before_commit": (0.0, 0.0),
}
PAUSED = ("fence", "guard")
"""Mutants that a pause shows. Nothing else is harmed then: after a gap in the intake clock all wait
for longer than a pause lasts, and nobody sends what the paused worker is about to send."""
HARMLESS = (("flushall", 1),)
REPEATED = 0.05
SETTLE_SECONDS = 120.0
"""Besides twice the time of load: after a gap in the intake clock at its end, a send in doubt from
its beginning waits for so long until silence proves something (`state/rules/evidence.py`)."""
LATER = 1_000_000
"""Numbers of messages that are written while the rest is decided."""
MARK = re.compile(r"#(\d+)")
SHARES = Shares(throughput=0.02, broken=0.01, drop=0.02, lose=0.04, repeat=0.2, status_seconds=1.0)


@dataclass
class Shoppers:
    """What was written, and what was acknowledged."""

    running: Running
    seed: int
    written: int = 0
    acked: dict[int, str] = field(default_factory=dict)
    """Phones by the number of the message."""

    async def write(self, place: int, until: float) -> None:
        """Write one message after another; repeat each until it is acknowledged."""
        shopper = Shopper(f"5493415550{place:03}")
        client = Client(self.running.card.address)
        loop, chance = asyncio.get_running_loop(), random.Random(self.seed * 1000 + place)
        pause = SHOPPERS / PER_SECOND
        due = loop.time() + pause * place / SHOPPERS
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            due = max(due + pause * chance.uniform(0.7, 1.3), loop.time())
            if loop.time() >= until:
                break
            self.written += 1
            number = self.written
            body = text_message(shopper, number, f"hola #{number}")
            await self._send(client, body)
            self.acked[number] = shopper.phone
            if chance.random() < REPEATED:
                await self._send(client, body)
        client.close()

    async def go_on(self) -> None:
        """Have somebody new write once a second, until cancelled; nobody counts these."""
        client = Client(self.running.card.address)
        for number in count(LATER):
            shopper = Shopper(f"5493415559{number % 10:03}")
            await self._send(client, text_message(shopper, number, "hola"))
            await asyncio.sleep(1)

    async def _send(self, client: Client, body: bytes) -> None:
        while True:
            try:
                async with asyncio.timeout(20):
                    answer = await post_signed(client, body)
            except (OSError, TimeoutError):
                await asyncio.sleep(0.1)
                continue
            if answer.status == 200:
                return
            if answer.status < 500:
                raise RuntimeError(f"{answer.status} {answer.body!r}")
            await asyncio.sleep(0.1)


async def bench(
    running: Running, ports: tuple[int, int], seconds: float, seed: int, mutant: str
) -> dict[str, Any]:
    """Load and harm; then wait until nothing is owed, and judge by the provider's own log."""
    webhook = f"{running.card.address}/webhooks/whatsapp/{APP}"
    meta = Meta(shares=SHARES, seed=seed, webhooks=Webhooks(webhook, SECRET), access_token=TOKEN)
    server, second = server_of(meta, ports[0], Guest), SecondWorker(running)
    kinds = HARMLESS if mutant in PAUSED else (*KINDS, ("kill chroma", 1))
    faults = Faults(running, LEASE_SECONDS, seed, second.pid, kinds)
    shoppers = Shoppers(running, seed)
    async with AsyncExitStack() as stack_:
        await stack_.enter_async_context(models.standing_in(port=ports[1]))
        others = [
            asyncio.create_task(meta.serve(server)),
            asyncio.create_task(second.run()),
            asyncio.create_task(faults.wake_stopped(PAUSES[mutant][1])),
        ]
        try:
            await open_bench_shop(running)
            await appoint_referee(running)
            until = asyncio.get_running_loop().time() + seconds
            writing = [shoppers.write(place, until) for place in range(SHOPPERS)]
            await asyncio.gather(faults.run(seconds), *writing)
            stuck = await settle(running, meta, shoppers, SETTLE_SECONDS + 2 * seconds)
            foreign = await foreign_commits(running)
            fates = await fates_of(running, uncovered(meta.accepted, shoppers.acked))
        finally:
            server.should_exit = True
            for task in others[1:]:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            if meta.webhooks is not None:
                await meta.webhooks.aclose()
    print("faults:", ", ".join(f"{kind} {n}" for kind, n in sorted(faults.done.items())))
    print(f"the provider accepted {len(meta.accepted)} sends, of {meta.posts} posts")
    for fate in fates:
        print("  no reply covers", fate)
    return {
        "acked": len(shoppers.acked),
        "faults": faults.done.total(),
        **judge(meta.accepted, shoppers.acked),
        "foreign_commits": foreign,
        "stuck": stuck,
        "malformed": len(meta.refused),
    }


REFEREE = """
CREATE TABLE referee (message_id bigint, epoch bigint, ours boolean);
-- As an attempt is written down: whose is the work really?
CREATE FUNCTION referee() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO referee SELECT NEW.message_id, NEW.epoch, EXISTS (
        SELECT FROM invocation i JOIN work w ON w.id = i.id
        JOIN lane x ON x.tenant = w.tenant AND x.lane = w.lane
        WHERE i.event::jsonb ->> 'message_id' = NEW.message_id::text
          AND i.event::jsonb ? 'conversation_id'
          AND x.worker IS NOT NULL AND x.epoch = NEW.epoch);
    RETURN NEW;
END $$;
CREATE INDEX bench_message ON invocation ((event::jsonb ->> 'message_id'));
CREATE TRIGGER referee BEFORE INSERT ON send_attempt FOR EACH ROW EXECUTE FUNCTION referee();
"""


async def appoint_referee(running: Running) -> None:
    """Have every attempt checked by the database itself, beside the fence."""
    connection = await asyncpg.connect(running.card.environment["POSTGRES_DSN"])
    await connection.execute(REFEREE)
    await connection.close()


async def foreign_commits(running: Running) -> int:
    """Return how many attempts were written down by somebody who did not own the work."""
    connection = await asyncpg.connect(running.card.environment["POSTGRES_DSN"])
    found = await connection.fetchval("SELECT count(*) FROM referee WHERE NOT ours")
    await connection.close()
    return int(found)


OWED = """
WITH counted AS (
    SELECT message_id, direction, turn, state FROM message m JOIN conversation c
    USING (conversation_id) WHERE c.address NOT LIKE '5493415559%')
SELECT (SELECT count(*) FROM work w JOIN invocation i USING (id)
        WHERE i.created_at < clock_timestamp() - interval '5 seconds')
     + (SELECT count(*) FROM send_attempt a JOIN counted USING (message_id)
        WHERE a.state = 'intent')
     + (SELECT count(*) FROM counted WHERE state IN ('pending', 'sending'))
     + (SELECT count(*) FROM counted WHERE direction = 'in' AND turn IS NULL)
"""


async def settle(running: Running, meta: Meta, shoppers: Shoppers, at_most_seconds: float) -> int:
    """Wait until nothing is owed and every status was told; returns how much still is.

    A shop that nobody writes to gets no statuses, so nothing proves that a send in doubt did not
    arrive. Therefore a few more shoppers write until everything is decided, to a provider that
    answers.
    """
    meta.shares = Shares(repeat=SHARES.repeat, status_seconds=SHARES.status_seconds)
    late = asyncio.create_task(shoppers.go_on())
    try:
        return await _settled(running, meta, at_most_seconds)
    finally:
        late.cancel()
        await asyncio.gather(late, return_exceptions=True)


async def _settled(running: Running, meta: Meta, at_most_seconds: float) -> int:
    dsn = running.card.environment["POSTGRES_DSN"]
    owed, until = 1, asyncio.get_running_loop().time() + at_most_seconds
    while owed and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(0.5)
        try:
            connection = await asyncpg.connect(dsn, timeout=5)
            owed = await connection.fetchval(OWED)
            await connection.close()
        except (OSError, asyncpg.PostgresError, TimeoutError):
            owed = -1
        if owed == 0 and meta.webhooks is not None:
            owed = meta.webhooks.waiting
    return owed


FATES = """
SELECT m.body, t.outcome, t.reason, o.state, o.problem
FROM message m LEFT JOIN turn t ON t.turn_id = m.turn
LEFT JOIN message o ON o.turn = m.turn AND o.direction = 'out'
WHERE m.direction = 'in' AND m.body = ANY ($1::text[]) ORDER BY m.message_id LIMIT 20
"""


async def fates_of(running: Running, numbers: list[int]) -> list[str]:
    """Return what became of these messages by our own tables, in words."""
    connection = await asyncpg.connect(running.card.environment["POSTGRES_DSN"])
    rows = await connection.fetch(FATES, [f"hola #{number}" for number in numbers])
    await connection.close()
    return [
        f"{row['body']!r}: turn {row['outcome']} ({row['reason']}), reply {row['state']}"
        f" ({row['problem']})"
        for row in rows
    ]


def uncovered(accepted: list[Taken], acked: dict[int, str]) -> list[int]:
    """Return the acknowledged messages that no accepted reply speaks of."""
    covered = {int(mark) for taken in accepted for mark in MARK.findall(taken.body)}
    return [number for number in acked if number not in covered]


def judge(accepted: list[Taken], acked: dict[int, str]) -> dict[str, int]:
    """Compare what was acknowledged with the provider's own log."""
    covered: Counter[int] = Counter()
    furthest: dict[str, int] = defaultdict(int)
    disorder = 0
    for taken in accepted:
        marks = [int(mark) for mark in MARK.findall(taken.body)]
        covered.update(marks)
        if marks:
            disorder += min(marks) < furthest[taken.to]
            furthest[taken.to] = max(*marks, furthest[taken.to])
    return {
        "lost": len(uncovered(accepted, acked)),
        "duplicate": sum(count > 1 for count in covered.values()),
        "out_of_order": disorder,
    }


def main() -> int:
    """Run, print, and say by the exit code whether everything was right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--minutes", type=float, help="of load (quick: 25 s, else 3 minutes)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mutant", choices=["fence", "guard", "ack_before_commit"])
    args = parser.parse_args()
    seconds = args.minutes * 60 if args.minutes else 25.0 if args.quick else 180.0
    mutant = args.mutant or "none"
    graph, model = free_ports(2)
    environment = {
        "GRAPH_API_URL": f"http://127.0.0.1:{graph}",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{model}/v1",
        "OPENAI_API_KEY": "bench",
        "NEXUS_FUNCTIONS": "functions,bench.functions",
        "NEXUS_LEASE_SECONDS": str(LEASE_SECONDS),
        "NEXUS_QUIET_SECONDS": "0",
        "NEXUS_SEND_GUARD_SECONDS": str(GUARD_SECONDS),
        "NEXUS_SEND_TIMEOUT_SECONDS": str(HTTP_SECONDS),
        "NEXUS_SEND_EVIDENCE_SECONDS": str(EVIDENCE_SECONDS),
        "BENCH_PAUSE_SHARE": str(PAUSES[mutant][0]),
    }
    if args.mutant:
        environment["NEXUS_MUTANT"] = args.mutant
    print(
        f"{PER_SECOND} messages/s of {SHOPPERS} shoppers for {seconds:g} s; quiet time 0; lease"
        f" {LEASE_SECONDS:g} s (product: 30 s), guard D {GUARD_SECONDS:g} s (2 s), HTTP"
        f" {HTTP_SECONDS:g} s (10 s), evidence W {EVIDENCE_SECONDS:g} s (60 s); two workers;"
        f" seed {args.seed}; mutant {mutant}. The provider: {SHARES}"
    )
    loop = uvloop.new_event_loop
    with stack(**environment) as running, asyncio.Runner(loop_factory=loop) as runner:
        found = runner.run(bench(running, (graph, model), seconds, args.seed, mutant))
    print(json.dumps(found))
    return 1 if any(found[name] for name in found if name not in ("acked", "faults")) else 0


if __name__ == "__main__":
    sys.exit(main())
