"""What a start says when it cannot do as asked: one line, and what to do."""

import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx2

from runtime.host.chroma import Chroma
from runtime.host.processes import started
from runtime.host.valkey import Valkey
from tests.servers import free_port
from tests.stacks import RunningStack, running_stack, wait_for


def failed(state: Path, environment: dict[str, str]) -> RunningStack:
    """Start something that cannot work, and wait until it has said so."""
    stack = RunningStack(state, environment)
    stack.process.wait(60)
    return stack


def test_a_taken_port_is_said_and_another_is_used(servers_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = taken.getsockname()[1]
        with running_stack(servers_folder / "taken", {"PORT": str(wanted)}) as stack:
            card = stack.wait_ready()
            assert f"port {wanted} is taken" in stack.output()
            assert not card.address.endswith(f":{wanted}")


def test_a_server_that_does_not_start_says_why_and_nothing_is_left(servers_folder: Path) -> None:
    state = servers_folder / "broken"
    with running_stack(state) as stack:
        stack.wait_ready()
    (state / "postgres" / "data" / "postgresql.conf").write_text("nonsense here\n")
    stack = failed(state, {})
    assert stack.process.returncode == 1
    assert "postgres does not start" in stack.output()
    assert "contains errors" in stack.output()
    assert not [pid for pid in stack.pids() if started(pid)]


def test_production_names_everything_it_lacks(servers_folder: Path) -> None:
    stack = failed(servers_folder / "production", {"NEXUS_ENV": "production"})
    assert stack.process.returncode == 78
    for name in ("POSTGRES_DSN", "REDIS_URL", "CHROMA_URL", "ENCRYPTION_KEY", "ADMIN_TOKEN"):
        assert name in stack.output()


def test_a_secret_that_cannot_be_right_is_refused_in_one_line(servers_folder: Path) -> None:
    wrong = {
        "ENCRYPTION_KEY": "short",
        "INTERNAL_API_TOKEN": "too short",
        "ADMIN_TOKEN": "replace-me-with-a-secret",
    }
    for name, value in wrong.items():
        stack = failed(servers_folder / f"wrong-{name}", {name: value})
        assert stack.process.returncode == 78, stack.output()
        (line,) = stack.output().splitlines()
        assert name in line
        assert value not in line


def test_an_external_postgres_that_is_away_is_exit_code_69(servers_folder: Path) -> None:
    dsn = f"postgresql://nobody@127.0.0.1:{free_port()}/nexus"
    stack = failed(servers_folder / "away", {"POSTGRES_DSN": dsn})
    assert stack.process.returncode == 69, stack.output()
    assert "Postgres does not answer" in stack.output()


def test_a_state_folder_that_cannot_be_made_is_named(servers_folder: Path) -> None:
    (servers_folder / "file").write_text("not a folder")
    environment = {"NEXUS_STATE_DIR": str(servers_folder / "file" / "state")}
    stack = failed(servers_folder / "elsewhere", environment)
    assert stack.process.returncode == 1
    assert "set NEXUS_STATE_DIR" in stack.output()


def test_the_second_ctrl_c_ends_it_at_once(servers_folder: Path) -> None:
    with running_stack(servers_folder / "twice") as stack:
        stack.wait_ready()
        pids = stack.pids()
        worker = stack.pid("worker")
        assert worker is not None
        subprocess.run(["kill", "-STOP", str(worker)], check=True)  # it will not obey
        began = time.monotonic()
        stack.process.send_signal(signal.SIGINT)
        wait_for("stopping", lambda: "stopping" in stack.output(), 5)
        stack.process.send_signal(signal.SIGINT)
        stack.process.wait(5)
        assert time.monotonic() - began < 2
        assert not [pid for pid in pids if started(pid)]


def test_production_runs_on_one_host_with_servers_from_outside(
    module_database_dsn: str,
    valkey_server: Valkey,
    chroma_server: Chroma,
    servers_folder: Path,
) -> None:
    environment = {
        "NEXUS_ENV": "production",
        "POSTGRES_DSN": module_database_dsn,
        "REDIS_URL": valkey_server.url,
        "CHROMA_URL": chroma_server.url,
        "API_BASE_URL": "https://api.shop.example",
        "INTERNAL_API_TOKEN": "internal-" + "t" * 32,
        "ADMIN_TOKEN": "admin-" + "t" * 32,
        "ENCRYPTION_KEY": "bm90LWEtc2VjcmV0LWp1c3QtZm9yLXRlc3RzLTAxMjM=",
    }
    with running_stack(servers_folder / "one-host", environment) as stack:
        card = stack.wait_ready()
        assert card.address == "https://api.shop.example"
        public = f"http://127.0.0.1:{stack.environment['PORT']}/healthz"
        known = {"Host": "api.shop.example"}
        assert httpx2.get(public, headers=known, trust_env=False).status_code == 200
        assert httpx2.get(public, trust_env=False).status_code == 404
        assert not (stack.state / "postgres").exists()
