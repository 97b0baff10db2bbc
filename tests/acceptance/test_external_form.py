"""As on a platform: only the Procfile's lines, $PORT and three servers from outside."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from runtime.host.chroma import Chroma
from runtime.host.layout import HOME
from runtime.host.procfile import read_procfile
from runtime.host.valkey import Valkey
from tests.servers import free_port
from tests.stacks import clean_environment, wait_for

TOKEN = "internal-" + "t" * 32


class Platform:
    """Runs every line of the Procfile through a shell, and knows nothing else."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.environment = environment
        self.folder = folder
        self.public = f"http://localhost:{environment['PORT']}"
        self.private = f"http://127.0.0.1:{environment['NEXUS_PRIVATE_PORT']}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, line: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as output:
            self.processes[name] = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {line}"],
                cwd=HOME,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def output(self) -> str:
        files = sorted(self.folder.glob("*.log"))
        return "\n".join(f"{file.name}:\n{file.read_text()[-2000:]}" for file in files)


@pytest.fixture(scope="module")
def platform(
    module_database_dsn: str,
    valkey_server: Valkey,
    chroma_server: Chroma,
    servers_folder: Path,
) -> Iterator[Platform]:
    folder = servers_folder / "external"
    folder.mkdir()
    environment = {
        **clean_environment(),
        "POSTGRES_DSN": module_database_dsn,
        "REDIS_URL": valkey_server.url,
        "CHROMA_URL": chroma_server.url,
        "PORT": str(free_port()),
        "NEXUS_PRIVATE_PORT": str(free_port()),
        "GATEWAY_ADDR": f"127.0.0.1:{free_port()}",
        "NEXUS_STATE_DIR": str(folder / "state"),
        "NEXUS_ENV": "production",
        "API_BASE_URL": "https://api.shop.example",
        "INTERNAL_API_TOKEN": TOKEN,
        "ADMIN_TOKEN": "admin-" + "t" * 32,
        "ENCRYPTION_KEY": "bm90LWEtc2VjcmV0LWp1c3QtZm9yLXRlc3RzLTAxMjM=",
    }
    with ExitStack() as stack:
        found = Platform(environment, folder)
        stack.callback(found.stop)
        for name, command in read_procfile(HOME / "Procfile").items():
            found.start(name, " ".join(command))
        wait_for("the platform serves", lambda: healthy(found), 60)
        yield found


def get(url: str, host: str) -> httpx2.Response:
    return httpx2.get(url, headers={"Host": host}, trust_env=False)


def healthy(platform: Platform) -> bool:
    try:
        return get(f"{platform.public}/healthz", "api.shop.example").status_code == 200
    except httpx2.HTTPError:
        return False


def test_a_function_runs_through_the_private_door(platform: Platform) -> None:
    answer = httpx2.post(
        f"{platform.private}/functions/hello",
        json={"name": "Ana"},
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=30,
        trust_env=False,
    )
    assert answer.status_code == 200, platform.output()
    assert "Hello, Ana!" in answer.text


@pytest.mark.parametrize("path", ["/functions/hello", "/internal/x", "/metrics", "/readyz"])
def test_private_paths_are_404_from_outside(platform: Platform, path: str) -> None:
    assert get(platform.public + path, "api.shop.example").status_code == 404


@pytest.mark.parametrize(
    "host", ["localhost", "evil.example", "127.0.0.1", "api.shop.example.evil"]
)
def test_in_production_only_our_own_hosts_are_known(platform: Platform, host: str) -> None:
    assert get(f"{platform.public}/healthz", host).status_code == 404


def test_pages_and_api_have_a_host_each(platform: Platform) -> None:
    assert get(f"{platform.public}/login", "api.shop.example").status_code == 404
    assert get(f"{platform.public}/api/openapi.json", "app.shop.example").status_code == 404


def test_nothing_secret_is_in_the_environment_of_caddy(platform: Platform) -> None:
    environment = Path(f"/proc/{platform.processes['web'].pid}/environ").read_bytes()
    assert TOKEN.encode() not in environment
    assert b"POSTGRES" not in environment
