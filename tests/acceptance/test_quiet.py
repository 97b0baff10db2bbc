"""While all is well, nothing says otherwise."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.host.journal import SEVERITY, parsed
from tests.stacks import RunningStack, running_stack, wait_for

LOUD = re.compile(r"\b(WARN|WARNING|ERROR|CRITICAL|FATAL|PANIC|Traceback)\b| # ")
"""Of Postgres and Chroma; and the sign that Valkey puts before its warnings."""


@pytest.fixture(scope="module")
def stack(servers_folder: Path) -> Iterator[RunningStack]:
    with running_stack(servers_folder / "quiet") as running:
        running.wait_ready()
        yield running


SLOW_MACHINE = ("the event loop is blocked", "importlib")
"""An import that found both cores taken, as beside two other files of tests."""


def loud(line: str) -> bool:
    if all(words in line for words in SLOW_MACHINE):
        return False
    record = parsed(line)
    if record is None:
        return LOUD.search(line) is not None
    return SEVERITY[str(record.get("level", "info"))] >= SEVERITY["warning"]


def everything_read(stack: RunningStack) -> bool:
    sources = [
        *json.loads(stack.run("knowledge", "--json").stdout),
        *json.loads(stack.run("catalogue", "--json").stdout),
    ]
    return len(sources) > 1 and all(one["state"] == "ready" for one in sources)


def logs(stack: RunningStack) -> dict[str, list[str]]:
    """What every process has written so far, by its name."""
    files = (stack.state / "logs").glob("*.log")
    return {file.stem: file.read_text(errors="replace").splitlines() for file in files}


def test_a_few_messages_after_a_start_write_no_warning(stack: RunningStack) -> None:
    wait_for("everything read", lambda: everything_read(stack))
    before = logs(stack)  # Caddy warns of its own settings as it starts
    assert {"worker", "gateway", "postgres", "redis", "chroma", "web"} <= set(before)
    said = stack.run("chat", text="hola\n¿tenés zapatillas 38?\nquiero cambiar el talle\n")
    assert said.stdout.count("demo> ") == 3, said.stderr
    after = logs(stack)
    assert any(before[name] != lines for name, lines in after.items()), "nothing was logged at all"
    quiet = {name: lines[len(before.get(name, ())) :] for name, lines in after.items()}
    quiet["terminal"] = stack.output().splitlines()  # from the start
    wrong = [f"{name}: {line}" for name, lines in quiet.items() for line in lines if loud(line)]
    assert wrong == []
