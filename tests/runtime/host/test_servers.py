"""The embedded servers: they take their password, and come back after kill -9."""

import os
import socket
from dataclasses import replace
from pathlib import Path

import asyncpg
import httpx2
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from runtime.host.postgres import Postgres
from runtime.host.valkey import Valkey
from tests.servers import new_postgres, running


async def test_each_test_gets_a_migrated_database_of_its_own(
    database_dsn: str, postgres_server: Postgres
) -> None:
    assert database_dsn != postgres_server.dsn
    connection = await asyncpg.connect(database_dsn)
    assert await connection.fetchval("SELECT count(*) FROM invocation") == 0
    await connection.close()


async def test_postgres_asks_for_its_password(postgres_server: Postgres) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres_server.dsn.replace("tests-only", "guess"))


def test_redis_asks_for_its_password(valkey_server: Valkey) -> None:
    with (
        redis.Redis(port=valkey_server.port, retry=Retry(NoBackoff(), 0)) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_chroma_keeps_and_finds_vectors(chroma_url: str) -> None:
    base = f"{chroma_url}/api/v2/tenants/default_tenant/databases/default_database/collections"
    with httpx2.Client(trust_env=False) as client:
        made = client.post(base, json={"name": "shop-1", "get_or_create": True}).json()["id"]
        rows = {"ids": ["a", "b"], "embeddings": [[1, 0], [0, 1]], "documents": ["uno", "dos"]}
        client.post(f"{base}/{made}/upsert", json=rows).raise_for_status()
        query = {"query_embeddings": [[0.1, 0.9]], "n_results": 1, "include": ["documents"]}
        found = client.post(f"{base}/{made}/query", json=query).json()
    assert found["documents"] == [["dos"]]


async def test_postgres_loses_nothing_when_it_is_killed(tmp_path: Path) -> None:
    server = new_postgres(tmp_path / "postgres")
    with running(server.program(), tmp_path) as process:
        connection = await asyncpg.connect(server.dsn)
        await connection.execute("CREATE TABLE kept (number int)")
        await connection.execute("INSERT INTO kept VALUES (7)")
        process.kill()
        connection.terminate()
        process.restart()
        connection = await asyncpg.connect(server.dsn)
        assert await connection.fetchval("SELECT number FROM kept") == 7
        await connection.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_as_root_postgres_runs_as_another_account_even_below_a_closed_folder(
    tmp_path: Path,
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = new_postgres(closed / "postgres")
    with running(server.program(), tmp_path) as process:
        assert Path(f"/proc/{process.pid}").stat().st_uid != 0
        socket.create_connection(("127.0.0.1", server.port)).close()


async def test_a_lost_password_is_replaced_not_mourned(tmp_path: Path) -> None:
    first = new_postgres(tmp_path / "postgres")
    second = replace(first, password="another one")
    second.prepare()
    with running(second.program(), tmp_path):
        connection = await asyncpg.connect(second.dsn.replace("another one", "another%20one"))
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
