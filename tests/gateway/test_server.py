"""The gateway as a process: where it listens, how it stops."""

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from runtime.host.layout import HOME
from runtime.host.ports import listening, listening_at
from runtime.host.probes import accepts
from runtime.settings import Settings
from tests.gateway.conftest import BEARER
from tests.stacks import clean_environment


class Gateway:
    """A process that serves on a socket we hold, as the supervisor starts it, or at an address."""

    def __init__(self, settings: Settings, held: socket.socket | str) -> None:
        environment, passed = {"PYTHONPATH": str(HOME)}, list[int]()
        if isinstance(held, str):
            environment["GATEWAY_ADDR"] = held
        else:
            passed.append(held.fileno())
            environment["NEXUS_GATEWAY_FD"] = str(held.fileno())
        for name in ("postgres_dsn", "redis_url", "internal_api_token", "admin_token"):
            secret = getattr(settings, name)
            environment[name.upper()] = secret.get_secret_value()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "gateway.cli", "serve"],
            env={**clean_environment(), **environment, "NEXUS_FUNCTIONS": "functions"},
            stderr=subprocess.PIPE,
            pass_fds=passed,
        )
        self._name = held[5:] if isinstance(held, str) else held.getsockname()

    def client(self, timeout: float) -> httpx2.AsyncClient:
        """Return one that calls this gateway, at its port or its socket file."""
        if isinstance(self._name, str):
            transport = httpx2.AsyncHTTPTransport(uds=self._name)
            return httpx2.AsyncClient(
                base_url="http://localhost", timeout=timeout, trust_env=False, transport=transport
            )
        return httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{self._name[1]}", timeout=timeout, trust_env=False
        )

    def stop(self) -> float:
        """Send SIGTERM; return how long it took to end."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        return time.monotonic() - began


@pytest.fixture(params=["port", "file"])
def held(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    found = listening(0) if request.param == "port" else listening_at(tmp_path / "gateway.sock")
    assert found is not None
    with found:
        yield found


@pytest.fixture
def processes() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def start(stack: ExitStack, settings: Settings, held: socket.socket | str) -> Gateway:
    gateway = Gateway(settings, held)

    def end() -> None:
        if gateway.process.poll() is None:
            gateway.process.kill()
        gateway.process.communicate()

    stack.callback(end)
    return gateway


async def test_a_stop_finishes_requests_and_is_quick_without(
    settings: Settings, held: socket.socket, processes: ExitStack
) -> None:
    gateway = start(processes, settings, held)
    async with gateway.client(30) as client:
        await client.get("/healthz")
        wait = {**BEARER, "Prefer": "wait=3"}
        asked = asyncio.create_task(client.post("/functions/hello", json={}, headers=wait))
        await asyncio.sleep(0.5)  # it is on its way
        took = await asyncio.to_thread(gateway.stop)
        answer = await asked

    assert gateway.process.returncode == 0
    assert answer.status_code == 504  # nobody works here: not finished, but answered
    assert answer.json()["invocation"]
    assert 1 < took < 8


async def test_a_successor_on_the_same_socket_takes_over_without_a_failed_request(
    settings: Settings, held: socket.socket, processes: ExitStack
) -> None:
    first = start(processes, settings, held)
    failed: list[str] = []
    count, going = 0, True

    async def ask() -> None:
        nonlocal count
        while going:
            async with first.client(20) as client:
                try:
                    answer = await client.get("/healthz")
                    if answer.status_code != 200:
                        failed.append(str(answer.status_code))
                except httpx2.HTTPError as error:
                    failed.append(repr(error))
            count += 1

    accepting = accepts(held.fileno())
    asking = [asyncio.create_task(ask()) for _ in range(4)]
    for _ in range(2):
        successor = start(processes, settings, held)
        async with asyncio.timeout(20):
            while not await accepting(successor.process.pid):
                await asyncio.sleep(0.02)
        took = await asyncio.to_thread(first.stop)
        assert took < 5
        first = successor
    going = False
    await asyncio.gather(*asking)

    assert failed == []
    assert count > 20


async def test_it_listens_at_a_socket_file_of_its_own_and_at_no_other_file(
    settings: Settings, tmp_path: Path, processes: ExitStack
) -> None:
    file, plain = tmp_path / "own.sock", tmp_path / "plain"
    plain.write_text("kept")
    own = start(processes, settings, f"unix/{file}")
    async with asyncio.timeout(20):
        while not file.exists():
            await asyncio.sleep(0.02)
    async with own.client(20) as client:
        assert (await client.get("/healthz")).status_code == 200

    refused = start(processes, settings, f"unix/{plain}")
    _, said = await asyncio.to_thread(refused.process.communicate, timeout=20)
    assert refused.process.returncode == 78
    assert str(plain) in said.decode()
    assert plain.read_text() == "kept"


async def test_a_weak_token_is_one_line_and_exit_code_78(
    settings: Settings, held: socket.socket, processes: ExitStack
) -> None:
    weak = settings.model_validate({**settings.model_dump(), "internal_api_token": "short"})
    gateway = start(processes, weak, held)
    _, said = await asyncio.to_thread(gateway.process.communicate, timeout=20)

    assert gateway.process.returncode == 78
    assert len(said.decode().strip().splitlines()) == 1
    assert "INTERNAL_API_TOKEN" in said.decode()


async def test_starting_it_imports_no_library_of_others(settings: Settings) -> None:
    script = (
        "import sys, gateway.server;"
        "print([n for n in ('openai', 'chromadb', 'rq', 'croniter', 'numpy') if n in sys.modules])"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=subprocess.PIPE, cwd=HOME
    )
    output, _ = await process.communicate()

    assert "openai" not in output.decode()
    assert "chromadb" not in output.decode()
    assert "numpy" not in output.decode()
