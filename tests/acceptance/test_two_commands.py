"""A stranger's first minutes: a fresh copy of the repository, and two commands."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.host.layout import HOME
from tests.stacks import RunningStack, clean_environment, running_stack, wait_for

INSTALL_SECONDS = 300


@pytest.fixture(scope="module")
def clone(servers_folder: Path) -> Path:
    """What a clone would hold: every file git knows or would know, and nothing else."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=HOME, capture_output=True, check=True).stdout
    folder = servers_folder / "fresh clone"  # a space: paths are quoted where they must be
    for name in filter(None, listed.decode().split("\0")):
        if (HOME / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(HOME / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def fresh(clone: Path) -> Iterator[RunningStack]:
    environment = {"PATH": os.environ["PATH"], "NEXUS_PYTHON": sys.executable}
    with running_stack(
        clone / ".state", environment, command=[str(clone / "nexus")], home=clone
    ) as running:
        wait_for("installed", (clone / ".venv" / ".nexus-embedded").exists, INSTALL_SECONDS)
        running.wait_ready()
        yield running


def test_two_commands_are_enough(fresh: RunningStack) -> None:
    assert "/login?code=" in fresh.output()
    greeted = fresh.run("invoke", "hello", "name=Ana")
    assert greeted.returncode == 0, greeted.stderr
    assert "Hello, Ana!" in greeted.stdout


def test_nothing_of_it_can_be_read_by_others(fresh: RunningStack) -> None:
    for folder in ("secrets", "postgres", "redis", "chroma", "run", "logs"):
        assert (fresh.state / folder).stat().st_mode & 0o077 == 0, folder
    for file in (*(fresh.state / "secrets").iterdir(), fresh.state / "run" / "gateway.sock"):
        assert file.stat().st_mode & 0o077 == 0, file


def test_idle_memory_is_small(fresh: RunningStack) -> None:
    shown = fresh.run("status", "--json")
    status = json.loads(shown.stdout)
    assert status["ready"] is True
    assert 0 < status["pss_bytes"] < 400 * 1024 * 1024, status


@pytest.mark.skipif(sys.platform != "linux", reason="other systems schedule otherwise")
def test_caddy_takes_no_processor_from_who_runs(fresh: RunningStack) -> None:
    caddy = fresh.pid("web")
    assert caddy is not None
    threads = [int(thread.name) for thread in Path(f"/proc/{caddy}/task").iterdir()]
    assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_BATCH}


def test_an_unchanged_start_adds_little(fresh: RunningStack) -> None:
    def fastest(command: list[str]) -> float:
        times = []
        for _ in range(3):
            began = time.monotonic()
            subprocess.run(command, cwd="/", env=environment, capture_output=True, check=True)
            times.append(time.monotonic() - began)
        return min(times)

    environment = {**clean_environment(), "PYTHONPATH": str(fresh.home)}
    python = str(fresh.home / ".venv" / "bin" / "python")
    direct = fastest([python, "-P", "-m", "gateway.cli", "--help"])
    assert fastest([str(fresh.home / "nexus"), "--help"]) - direct < 0.3


def test_it_is_found_through_a_link_and_from_anywhere(fresh: RunningStack, tmp_path: Path) -> None:
    link = tmp_path / "nexus"
    link.symlink_to(fresh.home / "nexus")
    done = subprocess.run(
        [link, "invoke", "hello", "name=Link"],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Hello, Link!" in done.stdout, done.stderr


def test_a_second_start_remembers_what_the_first_one_did(fresh: RunningStack) -> None:
    done = fresh.run("invoke", "hello", "name=Ana", "--key", "once", "--json")
    fresh.stop()
    fresh.start()
    fresh.wait_ready()
    again = fresh.run("invoke", "hello", "name=Ana", "--key", "once", "--json")
    assert json.loads(again.stdout)["id"] == json.loads(done.stdout)["id"]
