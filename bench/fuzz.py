"""Whatever is posted: does intake stay up, keep what stands beside it, and let no forger in?"""

import argparse
import asyncio
import json
import random
import secrets
import sys
from typing import Any

import asyncpg
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from bench.client import Client
from bench.shop import APP, Shopper, open_bench_shop, post_signed, text_message
from bench.stack import Running, stack
from functions.intake.split import split

FORGED = 10_000
CLIENTS = 8
SETTLE_SECONDS, LOOK_SECONDS = 60.0, 0.2

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
NAMES = (
    *("object", "entry", "changes", "field", "value", "metadata", "phone_number_id", "contacts"),
    *("messages", "statuses", "message_echoes", "user_preferences", "errors", "from", "id", "type"),
    *("from_user_id", "timestamp", "text", "body", "image", "caption", "interactive", "system"),
    *("reaction", "edit", "revoke", "original_message_id", "profile", "name", "wa_id", "user_id"),
)
shaped = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), inner, max_size=8)
    ),
    max_leaves=40,
)


def mutate(body: bytes, chance: random.Random) -> bytes:
    """Return a delivery that was cut, stretched, turned or filled with rubbish."""
    data = bytearray(body)
    kind = chance.randrange(8)
    if kind == 0:
        return bytes(data[: chance.randrange(len(data))])
    if kind == 1:
        for _ in range(chance.randrange(1, 12)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        return bytes(data)
    if kind == 2:
        return b"[" * chance.randrange(1, 200_000) + bytes(data)
    if kind == 3:
        return bytes(data).replace(b'"hola', b'"' + b"x" * chance.randrange(1, 1_000_000), 1)
    if kind == 4:
        return secrets.token_bytes(chance.randrange(1, 4000))
    if kind == 5:
        return bytes(data).replace(b"hola", rb"\u0000\ud800\udfff" + b"\xff\xfe", 1)
    if kind == 6:
        found = json.loads(data)
        value = found["entry"][0]["changes"][0]["value"]
        wrong: Any = chance.choice([None, 7, [], {}, "x", [None], [[]], {"id": 1}, -1e308, True])
        value[chance.choice(["contacts", "metadata", "statuses", "errors", "messages"])] = wrong
        return json.dumps(found).encode()
    return bytes(data) * chance.randrange(2, 5)


def with_rubbish(body: bytes, rubbish: list[Any]) -> bytes:
    """Return a delivery with parts beside its message that nobody can take."""
    found = json.loads(body)
    value = found["entry"][0]["changes"][0]["value"]
    value["messages"] = [*rubbish, *value["messages"], *rubbish]
    return json.dumps(found).encode()


def parsing(examples: int, seed: int) -> int:
    """Run generated data through the pure part; returns how many were tried.

    It raises nothing, and a good message beside anything is always found.
    """
    tried = 0

    @seeded(seed)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(shaped, st.lists(anything, max_size=3), st.binary(max_size=200))
    def run(data: Any, beside: list[Any], raw: bytes) -> None:
        nonlocal tried
        tried += 1
        split(raw)
        split(json.dumps(data).encode())
        found = split(with_rubbish(text_message(Shopper("549341"), 1, "hola"), beside))
        assert [one.wamid for one in found.inbound if one.body == "hola"] == ["wamid.bench.1"]

    run()
    return tried


async def posting(running: Running, forged: int, odd: int, seed: int) -> dict[str, int]:
    """Post forgeries and oddities through Caddy; then look what is there."""
    await open_bench_shop(running)
    counts = {"posted": 0, "server_errors": 0, "forged": 0, "forged_accepted": 0}
    good: list[int] = []

    async def forge(client: Client, number: int, chance: random.Random) -> None:
        body = text_message(Shopper("549341"), number, "forged")
        made = chance.choice(
            [
                f"X-Hub-Signature-256: sha256={chance.randbytes(32).hex()}",
                "X-Hub-Signature-256: sha256=",
                f"X-Hub-Signature: sha1={chance.randbytes(20).hex()}",
                "X-Hub-Signature-256: " + "0" * 64,
                "X-Nothing: 1",
            ]
        )
        answer = await client.post_bytes(f"/webhooks/whatsapp/{APP}", body, made)
        counts["forged"] += 1
        counts["forged_accepted"] += answer.status < 400
        counts["server_errors"] += answer.status >= 500

    async def confuse(client: Client, number: int, chance: random.Random) -> None:
        body = text_message(Shopper(f"54934{number:07}"), number, f"hola #{number}")
        if number % 2:
            good.append(number)
            rubbish: list[Any] = [None, 3, "x", [], {}, {"id": number}, {"type": {}}, {"from": []}]
            body = with_rubbish(body, chance.sample(rubbish, 3))
        else:
            body = mutate(body, chance)
        answer = await post_signed(client, body)
        counts["posted"] += 1
        counts["server_errors"] += answer.status >= 500

    async def client_of(place: int) -> None:
        chance, client = random.Random(seed * 100 + place), Client(running.card.address)
        for number in range(place, forged, CLIENTS):
            await forge(client, number, chance)
        for number in range(place, odd, CLIENTS):
            await confuse(client, number, chance)
        client.close()

    await asyncio.gather(*[client_of(place) for place in range(CLIENTS)])
    return {**counts, **await judge(running, good)}


async def judge(running: Running, good: list[int]) -> dict[str, int]:
    """Return how many good messages are missing, and how many deliveries nobody could read."""
    connection = await asyncpg.connect(running.card.environment["POSTGRES_DSN"])
    reading = "SELECT count(*) FROM work JOIN function USING (fn) WHERE name = 'webhook_intake'"
    for _ in range(round(SETTLE_SECONDS / LOOK_SECONDS)):
        if not await connection.fetchval(reading):
            break
        await asyncio.sleep(LOOK_SECONDS)
    rows = await connection.fetch("SELECT wamid FROM message WHERE direction = 'in'")
    unread = await connection.fetchval(
        "SELECT count(*) FROM failure JOIN invocation USING (id) JOIN function USING (fn)"
        " WHERE name = 'webhook_intake'"
    )
    await connection.close()
    there = {row["wamid"] for row in rows}
    return {
        "lost_neighbours": sum(f"wamid.bench.{number}" not in there for number in good),
        "failed_readings": int(unread),
    }


def main() -> int:
    """Run, print, and say by the exit code whether everything was right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    examples, odd = (1500, 1500) if args.quick else (20_000, 8000)
    print(f"{examples} generated payloads; {odd} odd ones and {FORGED} forgeries through Caddy")
    tried = parsing(examples, args.seed)
    environment = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "NEXUS_V3_ENABLED": "false"}
    loop = uvloop.new_event_loop
    with stack(**environment) as running, asyncio.Runner(loop_factory=loop) as runner:
        found = runner.run(posting(running, FORGED, odd, args.seed))
    print(json.dumps({"generated": tried, **found}))
    wrong = ("server_errors", "lost_neighbours", "forged_accepted", "failed_readings")
    return 1 if any(found[name] for name in wrong) else 0


if __name__ == "__main__":
    sys.exit(main())
