"""How long a shopper waits: a signed webhook through Caddy, until the provider has the reply."""

import argparse
import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvloop

from bench.client import Client
from bench.invoke import milliseconds
from bench.shop import TOKEN, Shopper, open_bench_shop, post_signed, text_message
from bench.stack import Running, free_ports, stack
from tests.providers import model as models
from tests.providers.meta import Guest, Meta, Taken, server_of

SAMPLES, WARM = 500, 30
SHOPPERS = 20
PATIENCE_SECONDS = 20.0
MARK = re.compile(r"#(\d+)")


class Timed(Meta):
    """The provider, who tells when a reply to a message is in its hands."""

    def __init__(self) -> None:
        super().__init__(access_token=TOKEN)
        self.replies: dict[int, asyncio.Future[float]] = {}

    def accept(self, taken: Taken) -> None:
        """Take a reply over; see `Meta.accept`."""
        super().accept(taken)
        for number in map(int, MARK.findall(taken.body)):
            waiting = self.replies.get(number)
            if waiting is not None and not waiting.done():
                waiting.set_result(time.perf_counter())


@asynccontextmanager
async def providers(graph_port: int, model_port: int) -> AsyncIterator[Timed]:
    """Serve the stand-ins in this process; the model answers at once."""
    meta = Timed()
    server = server_of(meta, graph_port, Guest)
    task = asyncio.create_task(meta.serve(server))
    async with models.standing_in(port=model_port):
        yield meta
    server.should_exit = True
    await task


async def measure(running: Running, graph_port: int, model_port: int, samples: int) -> list[float]:
    """Return how long each of the samples took, in seconds, in order."""
    async with providers(graph_port, model_port) as meta:
        await open_bench_shop(running)
        client = Client(running.card.address)
        found = []
        for number in range(WARM + samples):
            shopper = Shopper(f"54934155501{number % SHOPPERS:02}")
            body = text_message(shopper, number, f"hola #{number}")
            meta.replies[number] = asyncio.get_running_loop().create_future()
            began = time.perf_counter()
            answer = await post_signed(client, body)
            assert answer.status == 200, (answer.status, answer.body)
            async with asyncio.timeout(PATIENCE_SECONDS):
                arrived = await meta.replies[number]
            found.append(arrived - began)
            await asyncio.sleep(0.01)  # what follows the reply ends, too: an idle system
        client.close()
    return found[WARM:]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    samples = 200 if parser.parse_args().quick else SAMPLES
    graph_port, model_port = free_ports(2)
    environment = {
        "GRAPH_API_URL": f"http://127.0.0.1:{graph_port}",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{model_port}/v1",
        "OPENAI_API_KEY": "bench",
        "NEXUS_QUIET_SECONDS": "0",
    }
    print(
        f"{samples} messages of {SHOPPERS} shoppers, one after another; quiet time 0, a model that"
        " answers at once. Provider, model, Caddy, gateway, worker and Postgres share this machine."
    )
    loop = uvloop.new_event_loop
    with stack(**environment) as running, asyncio.Runner(loop_factory=loop) as runner:
        found = sorted(runner.run(measure(running, graph_port, model_port, samples)))
    print(
        json.dumps(
            {
                "n": len(found),
                "p50_ms": milliseconds(found, 0.5),
                "p99_ms": milliseconds(found, 0.99),
                "max_ms": milliseconds(found, 1.0),
            }
        )
    )


if __name__ == "__main__":
    main()
