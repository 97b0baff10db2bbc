"""Functions get more processes when they need them, and lose them without losing an attempt."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from runtime.host.postgres import Postgres
from runtime.host.stack import read_processes
from runtime.host.valkey import Valkey
from tests.stacks import RunningStack, running_stack, wait_for

WINDOW_SECONDS = 2


@pytest.fixture(scope="module")
def stack(
    postgres_server: Postgres, valkey_server: Valkey, servers_folder: Path
) -> Iterator[RunningStack]:
    environment = {
        "NEXUS_FUNCTIONS": "tests.sample",
        "NEXUS_SCALE_SECONDS": str(WINDOW_SECONDS),
        "NEXUS_LEASE_SECONDS": "3",
    }
    with running_stack(servers_folder / "scaling", environment) as running:
        running.wait_ready()
        yield running


def processes(stack: RunningStack) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read_processes(stack.state)["processes"]
    return found


def workers(stack: RunningStack) -> list[str]:
    named = [each["name"] for each in processes(stack) if each["pid"]]
    return [name for name in named if name.startswith("labour.")]


def running(stack: RunningStack) -> int:
    return stack.run("invocations", "--json").stdout.count('"running"')


def labour(stack: RunningStack, seconds: float, *more: str) -> Any:
    done = stack.run("invoke", "labour", f"seconds={seconds}", *more, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_burst_gets_processes_and_gives_them_back(stack: RunningStack) -> None:
    with ThreadPoolExecutor(12) as callers:
        started = [callers.submit(labour, stack, 2) for _ in range(12)]
        wait_for("more processes", lambda: len(workers(stack)) == 2)  # Scale(maximum=3)
        explained = stack.run("scale", "labour", "--json")
        told = stack.run("scale", "labour", "--explain")
        results = [one.result() for one in started]

    (shown,) = json.loads(explained.stdout)["functions"]
    assert shown["desired"] == 3
    assert "bounded by Scale(0, 3)" in shown["reason"]
    why = told.stdout.split("\n\n")[1]
    assert re.match(r"labour  3: .* attempts at once in .* bounded by Scale\(0, 3\)", why)
    assert len({result["result"][0] for result in results}) == 3
    wait_for("given back", lambda: not workers(stack))
    assert {result["result"][1] for result in results} == {1}, "an attempt was interrupted"


def test_a_process_that_is_given_back_finishes_what_it_runs(
    stack: RunningStack, tmp_path: Path
) -> None:
    wait_for("one process", lambda: not workers(stack))
    first, second = tmp_path / "first", tmp_path / "second"
    with ThreadPoolExecutor(2) as callers:
        one = callers.submit(labour, stack, 0, f"until={first}")
        wait_for("it runs", lambda: running(stack) == 1)
        other = callers.submit(labour, stack, 0, f"until={second}")
        wait_for("both run", lambda: running(stack) == 2)
        said = len(stack.output())
        (pid,) = [each["pid"] for each in processes(stack) if each["name"] in workers(stack)]
        first.touch()
        assert one.result()["result"][0] != pid
        wait_for("told to end", lambda: "2 -> 1 processes" in stack.output()[said:])
        assert not other.done()
        second.touch()
        assert other.result()["result"] == [pid, 1]
    wait_for("ended", lambda: not workers(stack))


def test_a_restart_interrupts_no_attempt(stack: RunningStack, tmp_path: Path) -> None:
    enough = tmp_path / "enough"
    with ThreadPoolExecutor(1) as callers:
        started = callers.submit(labour, stack, 0, f"until={enough}")
        wait_for("it runs", lambda: running(stack) == 1)
        assert stack.run("restart", "worker").returncode == 0
        after = labour(stack, 0)  # the new worker serves while the former one finishes
        assert not started.done()
        enough.touch()
        result = started.result()

    assert result["result"][1] == 1
    assert result["result"][0] != after["result"][0]
