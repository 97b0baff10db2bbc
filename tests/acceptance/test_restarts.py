"""Restarts and crashes of a whole installation: no request fails, nothing is left over."""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx2
import pytest

from runtime.host.processes import started
from runtime.host.stack import Stack, read_processes
from tests.gateway.test_live import events
from tests.stacks import RunningStack, running_stack, wait_for

RESTARTS = 5
PER_SECOND = 60


@pytest.fixture(scope="module")
def stack(servers_folder: Path) -> Iterator[RunningStack]:
    functions = {"NEXUS_FUNCTIONS": "functions,tests.sample"}
    with running_stack(servers_folder / "restarts", functions) as running:
        running.wait_ready()
        yield running


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if started(pid) is not None]


async def test_no_request_fails_while_the_gateway_is_restarted(stack: RunningStack) -> None:
    card = stack.wait_ready()
    first = stack.pid("gateway")
    stop = asyncio.Event()
    load = asyncio.create_task(steady_load(card, PER_SECOND, stop))
    for _ in range(RESTARTS):
        restarted = await asyncio.to_thread(stack.run, "restart", "gateway")
        assert restarted.returncode == 0, restarted.stderr
    stop.set()
    seen = await load
    assert stack.pid("gateway") != first
    assert set(seen) == {200}, seen
    assert seen[200] > PER_SECOND


async def test_no_request_is_refused_while_caddy_is_away(stack: RunningStack) -> None:
    card = stack.wait_ready()
    stop = asyncio.Event()
    load = asyncio.create_task(steady_load(card, PER_SECOND, stop))
    restarted = await asyncio.to_thread(stack.run, "restart", "web")
    assert restarted.returncode == 0, restarted.stderr
    ended = stack.pid("web")
    assert ended is not None
    os.kill(ended, signal.SIGTERM)
    again = partial(wait_for, "another web", lambda: stack.pid("web") not in (None, ended))
    await asyncio.to_thread(again)
    await asyncio.to_thread(stack.wait_ready)
    stop.set()
    seen = await load
    assert set(seen) == {200}, seen
    assert seen[200] > PER_SECOND


async def test_a_stream_goes_on_over_restarts_of_the_gateway(stack: RunningStack) -> None:
    card = stack.wait_ready()
    headers = {
        "Authorization": f"Bearer {card.environment['INTERNAL_API_TOKEN']}",
        "Accept": "text/event-stream",
    }
    numbers: list[int] = []
    kinds: Counter[str] = Counter()
    method, path, event = "POST", "/functions/count", {"upto": 80, "pause_seconds": 0.05}
    restarting: asyncio.Task[object] | None = None
    async with (
        asyncio.timeout(60),
        httpx2.AsyncClient(base_url=card.private_address, timeout=40, trust_env=False) as client,
    ):
        while not kinds["done"]:
            body = event if method == "POST" else None
            async with client.stream(method, path, json=body, headers=headers) as response:
                assert response.status_code == 200
                path = response.headers.get("location", path)
                async for fields in events(response):
                    headers["Last-Event-ID"] = fields.get("id", headers.get("Last-Event-ID", ""))
                    kinds[fields.get("event", "")] += 1
                    if "data" in fields and "event" not in fields:
                        numbers.append(json.loads(fields["data"])["number"])
                    if len(numbers) == 5 and restarting is None:
                        restart = asyncio.to_thread(stack.run, "restart", "gateway")
                        restarting = asyncio.create_task(restart)
            method = "GET"
    assert restarting is not None
    await restarting
    assert numbers == list(range(1, 81))
    assert kinds["reconnect"] >= 1  # who comes back at once may meet the one that is just leaving
    assert not kinds["restart"]


async def steady_load(card: Stack, per_second: float, stop: asyncio.Event) -> Counter[int | str]:
    """Send requests at a steady rate, half of them durable calls; count the answers."""
    seen: Counter[int | str] = Counter()
    headers = {"Authorization": f"Bearer {card.environment['INTERNAL_API_TOKEN']}"}
    limits = httpx2.Limits(max_connections=200, max_keepalive_connections=0)
    async with httpx2.AsyncClient(timeout=40, limits=limits, trust_env=False) as client:

        async def call(number: int) -> None:
            try:
                if number % 2:
                    path = f"{card.private_address}/functions/hello"
                    answer = await client.post(path, json={"name": "Ana"}, headers=headers)
                else:
                    answer = await client.get(f"{card.address}/healthz")
                seen[answer.status_code] += 1
            except httpx2.HTTPError as error:
                seen[f"{type(error).__name__}: {error}"] += 1

        async with asyncio.TaskGroup() as calls:
            began, number = time.monotonic(), 0
            while not stop.is_set():
                number += 1
                calls.create_task(call(number))
                await asyncio.sleep(max(0, began + number / per_second - time.monotonic()))
    return seen


@pytest.mark.parametrize("name", ["gateway", "worker", "web", "redis", "chroma", "postgres"])
def test_what_is_killed_comes_back(stack: RunningStack, name: str) -> None:
    stack.wait_ready()
    killed = stack.pid(name)
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    wait_for(f"another {name}", lambda: stack.pid(name) not in (None, killed))
    stack.wait_ready()
    greeted = stack.run("invoke", "hello", "name=Ana")
    assert "Hello, Ana!" in greeted.stdout, greeted.stderr


def test_a_restart_of_something_unknown_names_what_there_is(stack: RunningStack) -> None:
    refused = stack.run("restart", "gatway")
    assert refused.returncode == 1
    assert "gateway" in refused.stderr


def test_a_second_start_says_where_the_first_is(stack: RunningStack) -> None:
    card = stack.wait_ready()
    second = stack.run("up")
    assert second.returncode == 0
    assert second.stdout.strip() == f"nexus: already running, at {card.address}"


def test_status_counts_memory_and_restarts(stack: RunningStack) -> None:
    stack.wait_ready()
    shown = stack.run("status")
    assert shown.returncode == 0, shown.stdout
    assert "gateway" in shown.stdout
    assert read_processes(stack.state)["ready"] is True


def test_nothing_is_left_when_the_supervisor_is_killed_and_it_starts_again(
    stack: RunningStack,
) -> None:
    stack.wait_ready()
    pids = stack.pids()
    assert alive(pids) == pids
    stack.process.kill()
    stack.process.wait()
    wait_for("all processes ended", lambda: not alive(pids), 5)
    stack.start()
    stack.wait_ready()
    assert "Hello, Bo!" in stack.run("invoke", "hello", "name=Bo").stdout


def test_ctrl_c_stops_everything_within_five_seconds(stack: RunningStack) -> None:
    stack.wait_ready()
    pids = stack.pids()
    assert stack.stop() < 5
    assert not alive(pids)
    assert stack.process.returncode == 0
    assert stack.run("status").returncode == 69
