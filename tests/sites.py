"""The doors under test: our gateway process behind a real Caddy with the real Caddyfile."""

import asyncio
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtime.host.binaries import caddy
from runtime.host.caddy import caddy_environment
from runtime.host.layout import HOME
from runtime.host.postgres import DATABASE, Postgres
from runtime.host.probes import answers_http
from runtime.host.program import Program
from runtime.host.valkey import Valkey
from runtime.settings import load_settings
from tests.conftest import statement
from tests.servers import Running, free_port, running
from tests.stacks import clean_environment

INTERNAL_TOKEN = "internal-" + "t" * 32
ADMIN_TOKEN = "admin-" + "t" * 32


@dataclass(frozen=True)
class Site:
    """Where a running site is."""

    public: str
    private: str
    gateway: Running
    caddy: Running
    settings: Mapping[str, str]


@contextmanager
def site(folder: Path, postgres_dsn: str, redis_url: str, **more: str) -> Iterator[Site]:
    """Run a gateway, a worker and Caddy until the block ends."""
    port, private, gateway = free_port(), free_port(), free_port()
    settings = {
        "POSTGRES_DSN": postgres_dsn,
        "REDIS_URL": redis_url,
        "INTERNAL_API_TOKEN": INTERNAL_TOKEN,
        "ADMIN_TOKEN": ADMIN_TOKEN,
        "NEXUS_FUNCTIONS": "functions,tests.sample",
        "NEXUS_STATE_DIR": str(folder / "state"),
        "PORT": str(port),
        "NEXUS_PRIVATE_PORT": str(private),
        "GATEWAY_ADDR": f"127.0.0.1:{gateway}",
        "NEXUS_DRAIN_SECONDS": "1",
        "CADDY_ADMIN": f"unix/{folder}/admin.sock",
        **more,
    }
    environment = {**clean_environment(), "PYTHONPATH": str(HOME), **settings}
    edge = {
        **caddy_environment(load_settings(settings), {"PATH": os.environ["PATH"]}),
        "HOME": str(folder),
        "CADDY_ADMIN": f"{settings['CADDY_ADMIN']}|0600",
    }
    command = (sys.executable, "-P", "-m", "gateway.cli")
    config = (str(caddy()), "run", "--config", str(HOME / "Caddyfile"), "--adapter", "caddyfile")
    programs = [
        Program("gateway", (*command, "serve"), environment, answers_http(gateway, "/healthz")),
        Program("worker", (*command, "work"), environment),
        Program("caddy", config, edge, answers_http(port, "/healthz")),
    ]
    with ExitStack() as stack:
        started = [stack.enter_context(running(program, folder)) for program in programs]
        public, inside = f"http://localhost:{port}", f"http://127.0.0.1:{private}"
        yield Site(public, inside, started[0], started[2], settings)


@contextmanager
def fresh_site(postgres: Postgres, valkey: Valkey, folder: Path, **more: str) -> Iterator[Site]:
    """Run a site on a database of its own."""
    folder.mkdir()
    name = f"site_{os.getpid()}_{folder.name}"
    asyncio.run(statement(postgres, f"CREATE DATABASE {name} TEMPLATE {DATABASE}"))
    try:
        with site(folder, postgres.dsn_of(name), valkey.url, **more) as found:
            yield found
    finally:
        asyncio.run(statement(postgres, f"DROP DATABASE {name} WITH (FORCE)"))
