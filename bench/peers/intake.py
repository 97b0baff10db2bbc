"""Webhooks through Caddy: ours are checked and stored before they are answered, others' are not.

From as many clients as there are callers in the other measures, and from fewer: those who wait
together share a commit. The same Caddy with the same Caddyfile stands before each; no worker runs.
Our gateway listens at a socket file, as under `nexus up`, and so does the bare Starlette route.
functions-framework runs as its own command runs it, at host and port: it takes nothing else. All
stand there at once and are loaded in turn, for a second each: a machine that becomes slower does so
for all of them.
"""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from itertools import product
from pathlib import Path

import uvloop

from bench.load import post_for
from bench.peers.environments import NotInstalled, python_of
from bench.peers.rounds import Found, tell
from bench.servers import KEY, Servers
from bench.shop import APP, Shopper, register_app, signature, text_message
from bench.stack import ROOT, free_ports
from state.database import Database
from state.keyring import KeyRing

CLIENTS = {"intake": 200, "intake_64": 64}
SECONDS = 1.0
TURNS, QUICK_TURNS = 8, 3
"""Of each contender in a round."""
READY_SECONDS, STOP_SECONDS = 30.0, 3.0
OTHERS = ("starlette", "functions_framework_aio")
PORT_ALONE = ("functions_framework_aio",)
NEXUS = (sys.executable, "-m", "gateway.cli")


@contextmanager
def process(command: list[str], environment: Mapping[str, str], log: Path) -> Iterator[None]:
    """Run a process until the block ends."""
    with log.open("ab") as output:
        started = subprocess.Popen(
            command,
            cwd=ROOT,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield
    finally:
        started.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            started.wait(STOP_SECONDS)
        started.kill()
        started.wait()


async def load(port: int, seconds: float, clients: int) -> float:
    """Return how many webhooks per second are answered to so many clients together."""
    body = text_message(Shopper("5493415550100"), 1, "hola")
    return await post_for(
        port,
        f"/webhooks/whatsapp/{APP}",
        body,
        f"{signature(body)}\r\n",
        clients=clients,
        seconds=seconds,
    )


async def ready(port: int) -> None:
    """Wait until webhooks are answered with 200."""
    until = time.monotonic() + READY_SECONDS
    while True:
        try:
            await load(port, 0.01, 1)
            return
        except (OSError, RuntimeError, TimeoutError):
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.1)


@contextmanager
def served(own: Servers, name: str, python: str) -> Iterator[int]:
    """Run one of them behind a Caddy of its own; give the port where that listens."""
    public, private, gateway = free_ports(3)
    file = None if name in PORT_ALONE else own.folder / f"{name}.sock"
    environment = own.environment(
        PORT=str(public),
        NEXUS_PRIVATE_PORT=str(private),
        NEXUS_STATE_DIR=str(own.folder / name),
        GATEWAY_ADDR=f"unix/{file}" if file else f"127.0.0.1:{gateway}",
        NEXUS_LOG_LEVEL="warning",
    )
    other = [python, "-m", f"bench.peers.contenders.{name}", str(file or gateway)]
    server = [*NEXUS, "serve"] if name == "nexus" else other
    with (
        process(server, environment, own.folder / f"{name}.log"),
        process([*NEXUS, "edge"], environment, own.folder / f"{name}.caddy.log"),
    ):
        yield public


async def register(own: Servers) -> None:
    """Have the gateway know whose signature to check."""
    database = await Database.open(own.dsn, application="bench")
    await register_app(database, KeyRing.parse(KEY))
    await database.aclose()


def intake(own: Servers, cache: Path, found: Found, *, rounds: int, quick: bool) -> None:
    """Measure all three, in turn."""
    asyncio.run(register(own))
    servers = {"nexus": sys.executable}
    for name in OTHERS:
        try:
            servers[name] = python_of(name, cache)
        except NotInstalled as problem:
            tell(f"  {name} is not installed, its figure is null: {problem}")
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
        ports = {}
        for name, python in servers.items():
            port = stack.enter_context(served(own, name, python))
            try:
                runner.run(ready(port))
                runner.run(load(port, SECONDS, max(CLIENTS.values())))
                ports[name] = port
            except (OSError, RuntimeError, TimeoutError) as problem:
                tell(f"  {name} takes no webhooks, its figure is null: {problem}")
        for _ in range(rounds * (QUICK_TURNS if quick else TURNS)):
            for (name, port), (key, clients) in product(ports.items(), CLIENTS.items()):
                try:
                    found.add(runner.run(load(port, SECONDS, clients)), key, name)
                except (OSError, RuntimeError, TimeoutError) as problem:
                    tell(f"  {name}, {key}: {problem}")
    for key, of in found.medians().items():
        if key in CLIENTS:
            tell(f"  {key}: " + ", ".join(f"{name} {rate:.0f}/s" for name, rate in of.items()))
