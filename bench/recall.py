"""Does the demo shop find what it is asked for, and how soon? With vectors, and without."""

import argparse
import asyncio
import csv
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from bench.invoke import milliseconds
from functions.agents.recall import Recalled, recall
from runtime import Context, Event, function
from runtime.settings import Settings, load_settings
from state.migrate import migrate
from tests.functions.shops import demo_shop
from tests.servers import new_chroma, new_postgres, running

QUESTIONS = Path(__file__).with_name("recall_questions.csv")
TOP = 5
SEPARATOR = "|"


class Ask(Event):
    """Recall what fits a question."""

    question: str


_taken: list[tuple[Recalled, float]] = []


@function()
async def ask(event: Ask, ctx: Context) -> None:
    """Recall, and note how long it took."""
    began = time.perf_counter()
    found = await recall(ctx, event.question, product_limit=TOP, passage_limit=TOP)
    _taken.append((found, time.perf_counter() - began))


def questions() -> list[tuple[str, set[str]]]:
    """Return what is asked, and what may answer it."""
    with QUESTIONS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    return [(row["question"], set(row["expected"].split(SEPARATOR))) for row in rows]


async def measure(settings: Settings, rounds: int) -> tuple[float, list[float], list[str]]:
    """Return the share that was found, sorted times in seconds, and what was missed."""
    _taken.clear()
    found, missed = 0, []
    async with demo_shop(settings, ask) as (platform, shop):
        for number in range(rounds):
            for question, expected in questions():
                await platform.run(Ask(question=question), tenant=shop.tenant)
                recalled, _ = _taken[-1]
                names = {one.name for one in recalled.products}
                hit = bool(expected & (names | {one.source for one in recalled.passages}))
                if number == 0:
                    found += hit
                    missed += [] if hit else [question]
    return found / len(questions()), sorted(seconds for _, seconds in _taken), missed


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    rounds = 3 if parser.parse_args().quick else 10
    print(
        f"{len(questions())} questions to the demo shop, {rounds} times; a worker in this process"
    )
    loop = uvloop.new_event_loop
    with tempfile.TemporaryDirectory(prefix="nexus-bench-") as name:
        os.chmod(name, 0o711)
        folder = Path(name)
        postgres, chroma = new_postgres(folder / "postgres"), new_chroma(folder / "chroma")
        with running(postgres.program(), folder), running(chroma.program(), folder):
            asyncio.run(migrate(postgres.dsn))
            plain = {"POSTGRES_DSN": postgres.dsn, "NEXUS_LOG_LEVEL": "error"}
            whole = load_settings({**plain, "CHROMA_URL": chroma.url})
            with asyncio.Runner(loop_factory=loop) as runner:
                share, times, missed = runner.run(measure(whole, rounds))
                degraded, _, _ = runner.run(measure(load_settings(plain), 1))
    for question in missed:
        print(f"not found: {question}")
    found = {
        "n": len(times),
        "top5": round(share, 4),
        "p50_ms": milliseconds(times, 0.5),
        "p99_ms": milliseconds(times, 0.99),
        "degraded_top5": round(degraded, 4),
    }
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
