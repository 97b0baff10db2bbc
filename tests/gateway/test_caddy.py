"""Caddy's admin API over both transports, and where routes are put or not."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gateway.caddy import Admin, EdgeAway, EdgeMoved, EdgeRefused
from gateway.domains import Domains
from gateway.edge import SERVERS, Edge, with_domains
from runtime.host.probes import ask
from runtime.host.program import Ready
from runtime.settings import load_settings
from state.database import Database
from state.domains import add_domain
from state.shops import open_shop
from tests.acceptance.test_upstreams import edge
from tests.servers import free_port, running

T = TypeVar("T")
NAME = "www.tienda.example"


def answers(port: int) -> Ready:
    """Ready: Caddy says that nothing is there; behind it is nobody."""

    async def ready(_: int) -> bool:
        return await ask(port, b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", b" 404 ")

    return ready


@pytest.mark.parametrize("transport", ["unix", "tcp"])
async def test_the_admin_api_is_spoken_to_over_a_socket_and_over_tcp(
    transport: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    long = tmp_path / ("long-" * 20)
    long.mkdir()
    port = free_port()
    address = {"unix": f"unix/{long}/a.sock", "tcp": f"127.0.0.1:{port}"}[transport]
    own = {"unix": "unix/a.sock|0600", "tcp": address}[transport]  # Caddy runs in that folder
    with pytest.raises(EdgeAway):
        await Admin(address).tag(SERVERS)

    program = edge(long, {"CADDY_ADMIN": own})
    with running(replace(program, ready=answers(int(program.environment["PORT"]))), tmp_path):
        one = Admin(address)
        servers, tag = await one.read(SERVERS)
        assert tag
        assert await one.tag(SERVERS) == tag
        wanted = with_domains(servers, [NAME])
        assert with_domains(wanted, [NAME]) == wanted
        assert with_domains(wanted, []) == servers
        await one.replace(SERVERS, wanted, tag)
        for _ in range(3):  # Caddy opens its admin API anew after a change
            try:
                assert (await one.read(SERVERS))[0] == wanted
                break
            except EdgeAway:
                await asyncio.sleep(0.1)
        with pytest.raises(EdgeMoved):
            await one.replace(SERVERS, servers, tag)
        with pytest.raises(EdgeRefused, match="traversal"):
            await one.replace("/config/apps/http/nowhere/routes", [{}], "")
    if transport == "tcp":
        monkeypatch.setenv("HTTP_PROXY", "http://192.0.2.1:3128")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        with pytest.raises(EdgeAway, match="NO_PROXY"):
            await one.tag(SERVERS)


async def calmly(call: Callable[[], Awaitable[T]]) -> T:
    """Ask again when Caddy is just changing over."""
    for _ in range(20):
        try:
            return await call()
        except EdgeAway:
            await asyncio.sleep(0.05)
    return await call()


async def test_while_postgres_is_away_domains_come_back_from_memory_and_none_is_swept(
    database_dsn: str, tmp_path: Path
) -> None:
    address = f"unix/{tmp_path}/a.sock"
    settings = load_settings({"CADDY_ADMIN": address, "POSTGRES_DSN": database_dsn})
    database = await Database.open(database_dsn, application="test")
    shop = await open_shop(database, "tienda")
    async with database.engine() as connection, connection.transaction():
        await add_domain(connection, shop.tenant, NAME, actor="test")
    one = Edge(settings, database, Domains())
    program = edge(tmp_path, {"CADDY_ADMIN": address})

    with running(replace(program, ready=answers(int(program.environment["PORT"]))), tmp_path):
        await calmly(one.reconcile)
        kept, tag = await calmly(lambda: Admin(address).read(SERVERS))
        assert NAME in str(kept)
        await database.aclose()

        await Admin(address).replace(SERVERS, with_domains(kept, []), tag)  # as a restart would
        await calmly(one.reconcile)
        assert (await calmly(lambda: Admin(address).read(SERVERS)))[0] == kept

        await Edge(settings, database, Domains()).reconcile()  # a gateway that has read nothing yet
        assert (await Admin(address).read(SERVERS))[0] == kept


def proxy(door: str) -> dict[str, Any]:
    return {"handler": "reverse_proxy", "headers": {"request": {"set": {"Nexus-Door": [door]}}}}


def test_no_route_is_put_where_caddy_would_turn_to_https_or_where_the_private_door_is() -> None:
    off = {"automatic_https": {"disable": True}}
    public = {"srv0": {**off, "routes": [{"handle": [proxy("public")]}]}}
    private = {"srv1": {**off, "routes": [{"handle": [proxy("private")]}]}}
    both = {"srv2": {**off, "routes": [{"handle": [proxy("private"), proxy("public")]}]}}

    found = with_domains({**public, **private, **both}, [NAME])
    assert len(found["srv0"]["routes"]) == 2
    assert (found["srv1"], found["srv2"]) == (private["srv1"], both["srv2"])
    with pytest.raises(EdgeRefused, match="auto_https off"):
        with_domains({"srv0": {"routes": public["srv0"]["routes"]}}, [NAME])
    for strange in (None, {}, private, both):
        with pytest.raises(EdgeRefused, match="without our public door"):
            with_domains(strange, [NAME])
        assert with_domains(strange, []) == (strange or {})
