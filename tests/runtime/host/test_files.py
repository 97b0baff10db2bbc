"""What the host keeps on disk: the ledger, logs, ports, secrets, the Procfile."""

import asyncio
import io
import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.errors import ConfigurationError
from runtime.host import journal
from runtime.host.journal import Journal, LogFile, readable
from runtime.host.keys import kept
from runtime.host.layout import HOME, Layout
from runtime.host.ledger import Ledger
from runtime.host.ports import PATH_LIMIT_BYTES, Ports, listening_at
from runtime.host.processes import family, pss_bytes, started
from runtime.host.procfile import direct, read_procfile
from tests.stacks import wait_for

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True);"
    "time.sleep(60)",
]


def child(argv: list[str]) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(argv, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    return process


def test_what_an_earlier_supervisor_left_is_ended(tmp_path: Path) -> None:
    process = child(SLEEP)
    Ledger(tmp_path / "children.json").add(process.pid, signal.SIGTERM)
    assert Ledger(tmp_path / "children.json").end_orphans() == 1
    assert process.wait(5) == -signal.SIGTERM


def test_what_does_not_obey_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.host.ledger.GRACE_SECONDS", 0.1)
    process = child(STUBBORN)
    Ledger(tmp_path / "children.json").add(process.pid, signal.SIGTERM)
    Ledger(tmp_path / "children.json").end_orphans()
    assert process.wait(5) == -signal.SIGKILL


def test_a_process_id_that_belongs_to_somebody_else_by_now_is_left_alone(tmp_path: Path) -> None:
    process = child(SLEEP)
    path = tmp_path / "children.json"
    path.write_text(json.dumps({str(process.pid): ["another moment", signal.SIGTERM]}))
    assert Ledger(path).end_orphans() == 0
    assert process.poll() is None
    process.kill()
    process.wait()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"x": 1}'])
def test_a_broken_ledger_ends_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "children.json").write_text(text)
    assert Ledger(tmp_path / "children.json").end_orphans() == 0


def test_a_dead_process_that_nobody_waited_for_counts_as_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    wait_for("its end is seen", lambda: started(process.pid) is None, 5)
    process.wait()


def test_memory_counts_children_too() -> None:
    process = child(SLEEP)
    assert process.pid in family(process.pid)
    assert pss_bytes([process.pid]) > 1_000_000
    process.kill()
    process.wait()
    assert pss_bytes([process.pid]) == 0


def test_a_large_log_is_put_aside_and_old_ones_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "LARGEST_BYTES", 10)
    log = LogFile(tmp_path / "worker.log")
    for number in range(5):
        log.write(f"line {number}\n".encode())
    log.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["worker.log", "worker.log.1", "worker.log.2"]
    assert [(tmp_path / name).read_text() for name in names] == ["line 4\n", "line 3\n", "line 2\n"]


async def test_the_terminal_sees_warnings_and_the_file_everything(tmp_path: Path) -> None:
    screen = io.StringIO()
    found = Journal(tmp_path, verbose=False, screen=screen)
    stream = asyncio.StreamReader()
    stream.feed_data(b'{"level": "info", "message": "all is well"}\nplain\n')
    stream.feed_data(b'{"level": "warning", "message": "look here", "worker": 3}\n')
    stream.feed_eof()
    await found.follow("worker", stream, "warning")
    found.close()
    assert "look here  worker=3" in screen.getvalue()
    assert "all is well" not in screen.getvalue()
    assert (tmp_path / "worker.log").read_text().count("\n") == 3
    assert found.last_words("worker")[1] == "plain"


def test_a_log_line_is_read_by_people() -> None:
    line = {"at": "2026-11-23T10:00:00+00:00", "level": "error", "message": "m", "trace": "T\nU"}
    shown = readable(line)
    assert "ERROR m" in shown
    assert shown.endswith("\nT\nU")
    assert re.match(
        r"\d\d:\d\d:\d\d WARN", readable({"ts": 1795457223.3, "level": "warn", "msg": "m"})
    )


def test_a_taken_port_is_replaced_by_a_free_one_which_is_kept(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "state")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = taken.getsockname()[1]
        chosen = Ports(layout).choose("public", wanted)
        assert chosen != wanted
        assert Ports(layout).choose("public", wanted) == chosen


def test_secrets_are_made_once_and_closed_to_others(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "state")
    first = kept(layout, "admin_token")
    assert len(first) >= 32
    assert kept(layout, "admin_token") == first
    assert (tmp_path / "state" / "secrets" / "admin_token").stat().st_mode & 0o777 == 0o600


def test_the_procfile_names_our_processes_without_a_shell_between() -> None:
    found = read_procfile(HOME / "Procfile")
    assert list(found) == ["web", "gateway", "worker", "clock"]
    assert direct(found["web"])[-3:] == ["-m", "gateway.cli", "edge"]


def test_a_wrong_line_of_the_procfile_is_named(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("# fine\nweb: x\nnonsense\n")
    with pytest.raises(ConfigurationError, match="line 3"):
        read_procfile(tmp_path / "Procfile")


def test_a_socket_file_is_for_its_owner_and_for_one_listener(tmp_path: Path) -> None:
    file = tmp_path / "gateway.sock"
    held = listening_at(file)
    assert held is not None
    with held:
        assert file.stat().st_mode & 0o777 == 0o600
        assert listening_at(file) is None
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(file))


def test_a_socket_file_that_nobody_listens_at_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "gateway.sock"
    for _ in range(2):
        held = listening_at(file)
        assert held is not None
        held.close()
        assert file.exists()


def test_a_file_that_is_no_socket_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "secrets.env"
    file.write_text("ADMIN_TOKEN=hush")
    assert listening_at(file) is None
    assert file.read_text() == "ADMIN_TOKEN=hush"


@pytest.mark.parametrize("name", ["x" * PATH_LIMIT_BYTES, "{shop}", "back`tick"])
def test_a_path_that_kernel_or_caddy_do_not_take_is_no_socket_file(
    tmp_path: Path, name: str
) -> None:
    assert listening_at(tmp_path / name) is None
    assert list(tmp_path.iterdir()) == []
