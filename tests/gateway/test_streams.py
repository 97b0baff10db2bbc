"""An invocation's stream over HTTP: what it tells, how it resumes, how it ends. Over a socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

import gateway.streams
from gateway.services import Services
from state.database import Database
from tests.gateway.conftest import BEARER, Client, Served, until
from tests.gateway.test_live import Fields, events

STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
async def caller(served: Served) -> AsyncIterator[Client]:
    """Somebody with the internal token, over a real socket."""
    async with httpx2.AsyncClient(
        base_url=served.origin, headers=BEARER, timeout=30, trust_env=False
    ) as client:
        yield client


@asynccontextmanager
async def posted(client: Client, event: Mapping[str, object]) -> AsyncIterator[httpx2.Response]:
    path = "/functions/count"
    async with client.stream("POST", path, json=event, headers=STREAM) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield response


@asynccontextmanager
async def followed(
    client: Client, location: str, **headers: str
) -> AsyncIterator[AsyncIterator[Fields]]:
    async with client.stream("GET", location, headers={**STREAM, **headers}) as response:
        assert response.status_code == 200, await response.aread()
        yield events(response)


def numbers(heard: list[Fields]) -> list[int]:
    chunks = [fields for fields in heard if "data" in fields and "event" not in fields]
    return [json.loads(fields["data"])["number"] for fields in chunks]


async def test_a_call_may_be_streamed_at_once(caller: Client, worker: None) -> None:
    async with posted(caller, {"upto": 3}) as response:
        heard = [fields async for fields in events(response)]

    assert numbers(heard) == [1, 2, 3]
    assert heard[-1]["event"] == "done"
    assert json.loads(heard[-1]["data"]) == {
        "id": response.headers["nexus-invocation"],
        "state": "done",
        "result": "counted to 3",
        "error": None,
    }
    assert response.headers["location"].endswith(response.headers["nexus-invocation"])


async def test_a_stream_goes_on_from_the_last_event(caller: Client, worker: None) -> None:
    async with posted(caller, {"upto": 20, "pause_seconds": 0.02}) as response:
        heard: list[Fields] = []
        async for fields in events(response):
            heard.append(fields)
            if len(numbers(heard)) >= 5:
                break
    last = [fields["id"] for fields in heard if "id" in fields][-1]
    location = response.headers["location"]

    async with followed(caller, location, **{"Last-Event-ID": last}) as rest:
        later = [fields async for fields in rest]
    assert numbers(heard) + numbers(later) == list(range(1, 21))
    assert later[-1]["event"] == "done"


async def test_a_repeated_attempt_is_told_as_a_restart(
    caller: Client, worker: None, tmp_path: Path
) -> None:
    heard: list[Fields] = []
    seen = tmp_path / "seen"
    async with posted(caller, {"upto": 2, "fail_first": True, "fail_when": str(seen)}) as response:
        async for fields in events(response):
            heard.append(fields)
            if numbers(heard) == [1, 2]:
                seen.touch()

    assert [fields.get("event") for fields in heard if "data" in fields] == [
        None,
        None,
        "restart",
        None,
        None,
        "done",
    ]


async def test_a_quiet_stream_is_kept_alive(
    caller: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.streams, "HEARTBEAT_SECONDS", 0.1)
    async with posted(caller, {"upto": 1}) as response:  # nobody works
        heard = events(response)
        assert [(await anext(heard))["comment"] for _ in range(3)] == [
            "welcome",
            "still here",
            "still here",
        ]


async def test_a_gateway_that_stops_sends_its_streams_to_the_next_at_once(
    served: Served, caller: Client, worker: None
) -> None:
    async with posted(caller, {"upto": 1, "pause_seconds": 5}) as response:
        heard = events(response)
        await anext(heard)
        assert numbers([await anext(heard)]) == [1]
        served.server.should_exit = True
        async with asyncio.timeout(3):
            rest = [fields async for fields in heard]

    assert rest[-1]["event"] == "reconnect"
    assert rest[-1]["retry"] == "200"


async def test_all_streams_share_one_connection(
    served: Served, caller: Client, worker: None
) -> None:
    async def one() -> list[int]:
        async with posted(caller, {"upto": 5, "pause_seconds": 0.05}) as response:
            return numbers([fields async for fields in events(response)])

    found = asyncio.gather(*[one() for _ in range(30)])
    services: Services = served.app.state.services
    await until(lambda: services.opened.dispatcher.streams.count == 30)
    assert await found == [[1, 2, 3, 4, 5]] * 30
    await until(lambda: services.opened.dispatcher.streams.count == 0)
    assert await connections(served.database) == 1


async def connections(database: Database) -> int:
    async with database.engine() as connection:
        return int(
            await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE application_name = 'nexus streams' AND datname = current_database()"
            )
        )


async def test_bad_input_is_named(caller: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = await caller.post("/functions/count", json={"upto": "x"}, headers=STREAM)
    stored = await caller.post(
        "/functions/count", json={"upto": 1}, headers={"Prefer": "respond-async"}
    )
    location = stored.headers["location"]
    bad = await caller.get(location, headers={**STREAM, "Last-Event-ID": "x"})
    unknown = await caller.get(location[:-4] + "zzzz", headers=STREAM)
    monkeypatch.setattr(gateway.streams, "STREAMS_AT_MOST", 0)
    full = await caller.get(location, headers=STREAM)

    assert refused.status_code == 422
    assert bad.status_code == 400
    assert "Last-Event-ID" in bad.json()["detail"]
    assert unknown.status_code == 404
    assert full.status_code == 503


async def test_nobody_follows_without_the_token(served: Served) -> None:
    async with httpx2.AsyncClient(base_url=served.origin, trust_env=False) as stranger:
        answer = await stranger.post("/functions/count", json={"upto": 1}, headers=STREAM)
    assert answer.status_code == 401
