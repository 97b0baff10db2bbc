"""Do 200 live streams slow other work down, and does each get every chunk?

In turns: `hello` at a steady pace through Caddy, without streams and beside them. Each stream is a
running function that emits five chunks a second, followed over a connection of its own. Who listens
is a process of its own, as browsers are: what reading a thousand chunks a second costs it is not
part of what the other callers wait for.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import sys
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

import uvloop

from bench.invoke import CLIENTS, load, milliseconds
from bench.stack import Running, stack
from runtime.host.stack import Stack

STREAMS = 200
CHUNKS_PER_SECOND = 5.0
PACE_PER_SECOND = 100
WARM_SECONDS = 2.0
FUNCTIONS = "functions,bench.functions"


class Listener:
    """Follows one stream."""

    def __init__(self, upto: int) -> None:
        self.upto = upto
        self.numbers: list[int] = []
        self.began = asyncio.Event()
        self.outcome = ""

    @property
    def lost(self) -> int:
        """How many chunks did not come, came twice, or came out of order."""
        wrong = sum(1 for at, number in enumerate(self.numbers) if number != at + 1)
        return wrong + max(0, self.upto - len(self.numbers)) + (self.outcome != "done")

    async def listen(self, card: Stack, pause_seconds: float) -> None:
        """Call the function and read its stream to the end."""
        parts = urlsplit(card.private_address)
        body = json.dumps({"upto": self.upto, "pause_seconds": pause_seconds})
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(
            f"POST /functions/recite HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"Authorization: Bearer {card.environment['INTERNAL_API_TOKEN']}\r\n"
            "Accept: text/event-stream\r\nContent-Type: application/json\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        event = ""
        async for raw in reader:
            line = raw.decode().rstrip()
            if line.startswith("event: "):
                event = line[7:]
            elif line.startswith("data: "):
                if event in ("done", "dead", "cancelled"):
                    self.outcome = event
                    break
                if not event:
                    self.numbers.append(json.loads(line[6:])["number"])
                    self.began.set()
                event = ""
        writer.close()


def listen_to_all(card: Stack, upto: int, streams: int, rate: float, told: Connection) -> None:
    """Follow all streams, in a process of its own: say when all began, then how many lacked."""

    async def follow() -> int:
        listeners = [Listener(upto) for _ in range(streams)]
        async with asyncio.TaskGroup() as group:
            for each in listeners:
                group.create_task(each.listen(card, 1 / rate))
            for each in listeners:
                await each.began.wait()
            told.send("all began")
        return sum(each.lost for each in listeners)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        told.send(runner.run(follow()))


async def beside_streams(
    running: Running, streams: int, seconds: float, rate: float
) -> tuple[list[float], int]:
    """Return the sorted latencies of other work beside live streams, and how many chunks lacked."""
    loop = asyncio.get_running_loop()
    apart = multiprocessing.get_context("spawn")
    heard, told = apart.Pipe(duplex=False)
    upto = int((seconds + 6) * rate)
    process = apart.Process(
        target=listen_to_all, args=(running.card, upto, streams, rate, told), daemon=True
    )
    process.start()
    told.close()
    await loop.run_in_executor(None, heard.recv)
    latencies, _ = await load(running, CLIENTS, seconds, PACE_PER_SECOND)
    lost = await loop.run_in_executor(None, heard.recv)
    await loop.run_in_executor(None, process.join)
    return latencies, lost


async def measure(running: Running, args: argparse.Namespace) -> dict[str, object]:
    """Measure in turns; medians over the rounds."""
    seconds = 8.0 if args.quick else 20.0
    rounds = 3 if args.quick else 5
    await load(running, CLIENTS, WARM_SECONDS, PACE_PER_SECOND)
    alone, beside, lost = [], [], 0
    for number in range(rounds):
        quiet, _ = await load(running, CLIENTS, seconds, PACE_PER_SECOND)
        busy, lacking = await beside_streams(running, args.streams, seconds, args.rate)
        lost += lacking
        alone.append((milliseconds(quiet, 0.5), milliseconds(quiet, 0.99)))
        beside.append((milliseconds(busy, 0.5), milliseconds(busy, 0.99)))
        print(
            f"round {number + 1}: p50 and p99 alone {alone[-1]} ms,"
            f" beside {args.streams} streams {beside[-1]} ms, {lacking} chunks lost",
            flush=True,
        )
    p50, p99 = (
        [statistics.median(one[place] for one in side) for side in (alone, beside)]
        for place in (0, 1)
    )
    return {
        "streams": args.streams,
        "chunks_per_s": round(args.streams * args.rate),
        "quiet_p99_ratio": round(p99[1] / p99[0], 2),
        "quiet_p50_ratio": round(p50[1] / p50[0], 2),
        "p99_ms": {"alone": p99[0], "beside": p99[1]},
        "lost_chunks": lost,
    }


def main() -> int:
    """Measure, print, and say by the exit code whether every chunk arrived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--streams", type=int, default=STREAMS)
    parser.add_argument("--rate", type=float, default=CHUNKS_PER_SECOND, help="chunks a second")
    args = parser.parse_args()
    others = os.getloadavg()[0]  # on a machine that others load, the ratio says little
    print(f"load of this machine before: {others:.1f} on {os.cpu_count()} cores", flush=True)
    with (
        stack(NEXUS_FUNCTIONS=FUNCTIONS) as running,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        found = runner.run(measure(running, args))
    print(json.dumps({**found, "load_before": round(others, 1)}))
    return 1 if found["lost_chunks"] else 0


if __name__ == "__main__":
    sys.exit(main())
