"""Real Postgres, Redis and Chroma for every test that asks, and a fresh database for each."""

import asyncio
import itertools
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
import redis

from runtime.host.chroma import Chroma
from runtime.host.postgres import DATABASE, Postgres
from runtime.host.valkey import Valkey
from runtime.settings import Settings, load_settings
from state.migrate import migrate
from tests.servers import new_chroma, new_postgres, new_valkey, running

numbers = itertools.count(1)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"  # asyncpg's loop


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """A command that a test runs in here logs to that test's standard error, which closes."""
    logger = logging.getLogger("nexus")
    handlers, level, propagate = list(logger.handlers), logger.level, logger.propagate
    yield
    logger.handlers[:], logger.propagate = handlers, propagate
    logger.setLevel(level)


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """A folder that the account of Postgres can pass through; pytest's own are closed to it."""
    with tempfile.TemporaryDirectory(prefix="nexus-tests-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture(scope="session")
def postgres_server(servers_folder: Path) -> Iterator[Postgres]:
    """A Postgres whose database `nexus` is migrated: the template of all others."""
    server = new_postgres(servers_folder / "postgres")
    with running(server.program(), servers_folder):
        asyncio.run(migrate(server.dsn))
        closed = f"ALTER DATABASE {DATABASE} ALLOW_CONNECTIONS false"  # nobody may work in it
        asyncio.run(statement(server, closed))
        yield server


@pytest.fixture(scope="session")
def valkey_server(servers_folder: Path) -> Iterator[Valkey]:
    server = new_valkey(servers_folder / "valkey")
    with running(server.program(), servers_folder):
        yield server


@pytest.fixture(scope="session")
def chroma_server(servers_folder: Path) -> Iterator[Chroma]:
    server = new_chroma(servers_folder / "chroma")
    with running(server.program(), servers_folder):
        yield server


async def statement(server: Postgres, text: str) -> None:
    """Run a statement outside of every test database."""
    connection = await asyncpg.connect(server.dsn_of("postgres"))
    try:
        await connection.execute(text)
    finally:
        await connection.close()


@asynccontextmanager
async def database_copy(server: Postgres) -> AsyncIterator[str]:
    """A fresh, migrated database, copied from the template."""
    name = f"test_{os.getpid()}_{next(numbers)}"
    copy = f"CREATE DATABASE {name} TEMPLATE {DATABASE} STRATEGY FILE_COPY"
    await statement(server, copy)
    try:
        yield server.dsn_of(name)
    finally:
        await statement(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database_dsn(postgres_server: Postgres) -> AsyncIterator[str]:
    """A fresh, migrated database for one test."""
    async with database_copy(postgres_server) as dsn:
        yield dsn


@pytest.fixture(scope="module")
def module_database_dsn(postgres_server: Postgres) -> Iterator[str]:
    """A fresh, migrated database for all tests of a module."""
    with asyncio.Runner() as runner:
        copy = database_copy(postgres_server)
        yield runner.run(copy.__aenter__())
        runner.run(copy.__aexit__(None, None, None))


@pytest.fixture
async def empty_dsn(postgres_server: Postgres) -> AsyncIterator[str]:
    """A database without anything in it."""
    name = f"empty_{os.getpid()}_{next(numbers)}"
    await statement(postgres_server, f"CREATE DATABASE {name} TEMPLATE template0")
    yield postgres_server.dsn_of(name)
    await statement(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def redis_url(valkey_server: Valkey) -> str:
    """A Redis database that nobody else uses now, emptied."""
    number = next(numbers) % 16
    url = valkey_server.url.removesuffix("/0") + f"/{number}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def chroma_url(chroma_server: Chroma) -> str:
    return chroma_server.url


@pytest.fixture
def settings(database_dsn: str, redis_url: str, chroma_url: str, tmp_path: Path) -> Settings:
    """Settings of an installation on those servers, with quick leases."""
    return load_settings(
        {
            "POSTGRES_DSN": database_dsn,
            "REDIS_URL": redis_url,
            "CHROMA_URL": chroma_url,
            "NEXUS_STATE_DIR": str(tmp_path / "state"),
            "INTERNAL_API_TOKEN": "internal-" + "t" * 32,
            "ADMIN_TOKEN": "admin-" + "t" * 32,
            "ENCRYPTION_KEY": "bm90LWEtc2VjcmV0LWp1c3QtZm9yLXRlc3RzLTAxMjM=",
        }
    )
