"""Bells that another host sends, and what people are told of hosts that do not answer."""

import asyncio

import redis.asyncio as redis
from starlette.applications import Starlette

from gateway.app import create_app
from gateway.neighbours import Neighbours
from runtime.bell import queue_key
from runtime.neighbour import Neighbour
from runtime.registry import Registry
from runtime.settings import Settings
from state.alerts import Alerts
from state.database import Database
from tests.gateway.conftest import BEARER, Client, Served, client_of, until
from tests.runtime.test_neighbour import host
from tests.servers import free_port

TOKEN = BEARER["Authorization"].removeprefix("Bearer ")


async def listed(settings: Settings, function: str, count: int) -> None:
    """Wait until a function's list is that long."""
    assert settings.redis_url is not None
    client = redis.Redis.from_url(settings.redis_url.get_secret_value())
    async with asyncio.timeout(10):
        while await client.llen(queue_key(function)) != count:
            await asyncio.sleep(0.01)
    await client.aclose()


async def test_bells_of_another_host_ring_here(api: Client, settings: Settings) -> None:
    answer = await api.post("/internal/bells", json={"bells": {"greet": 3, "note": 0}})

    assert answer.status_code == 204
    await listed(settings, "greet", 3)
    await listed(settings, "note", 0)


async def test_bells_of_functions_that_do_not_run_here_are_refused_by_name(
    settings: Settings, registry: Registry
) -> None:
    async with host() as third:
        app = create_app(settings.model_copy(update={"agent_service_url": third.url}), registry)
        async with app.router.lifespan_context(app), client_of(app, **BEARER) as client:
            bells = {"greet": 2, "note": 1, "nothing": 1}
            answer = await client.post("/internal/bells", json={"bells": bells})
            await until(lambda: bool(third.bells))  # it is asked whether it is there

    assert third.rung("note") == 0, "a bell from outside goes no further"
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:nexus:problem:not-run-here"
    assert answer.json()["detail"].startswith("note, nothing:")
    await listed(settings, "greet", 2)
    await listed(settings, "note", 0)


async def test_what_is_no_bells_is_refused(api: Client) -> None:
    wrong: list[object] = [
        {},
        {"bells": []},
        {"bells": {"greet": "2"}},
        {"bells": {}, "more": 1},
        [1],
    ]
    for body in wrong:
        answer = await api.post("/internal/bells", json=body)
        assert answer.status_code == 422, body
        assert "agent_run" in answer.json()["remedy"]


async def test_readiness_says_since_when_another_host_does_not_answer(
    settings: Settings, registry: Registry, worker: None
) -> None:
    placed = settings.model_copy(update={"agent_service_url": f"http://127.0.0.1:{free_port()}"})
    app = create_app(placed, registry)
    async with app.router.lifespan_context(app), client_of(app, **BEARER) as client:
        await until(lambda: problem(app) != "")
        await client.post("/functions/hello", json={})  # once answered, a worker is there
        ready = await client.get("/readyz")
        metrics = await client.get("/metrics")

    assert ready.status_code == 200, "what waits for that host waits; all else is served"
    said = ready.json()["checks"]["note"]
    assert said.startswith("on another host, which does not answer (ConnectError), since 20")
    assert 'nexus_host_up{function="note"} 0' in metrics.text


def problem(app: Starlette) -> str:
    return "".join(each.problem for each in app.state.services.opened.dispatcher.neighbours)


async def test_people_are_told_once_and_told_no_more_when_it_is_back(
    served: Served, database_dsn: str
) -> None:
    other = Neighbour("http://127.0.0.1:1", TOKEN)
    other.functions["note"] = "AGENT_SERVICE_URL"
    database = await Database.open(database_dsn, application="test")
    telling = asyncio.create_task(Neighbours([other], database, 0.05, 0.0).run())
    alerts = Alerts(database)
    async with asyncio.timeout(10):
        while not await alerts.open():
            await asyncio.sleep(0.02)
    (alert,) = await alerts.open()
    assert alert.kind == "host"
    assert alert.message.startswith(
        "note waits: the host that runs it, http://127.0.0.1:1, does not answer (ConnectError),"
        " since 20"
    )
    assert "unset AGENT_SERVICE_URL here" in alert.message
    other.url = served.origin
    async with asyncio.timeout(10):
        while await alerts.open():
            await asyncio.sleep(0.02)
    telling.cancel()
    await asyncio.wait([telling])
    await other.aclose()
    await database.aclose()
