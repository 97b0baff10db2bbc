"""The live stream: what it tells, how it resumes, how it ends. Over a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

import gateway.live
import gateway.watch
from gateway.services import Services
from gateway.watch import Watch
from tests.gateway.conftest import ADMIN_TOKEN, BEARER, Client, Served, until

Fields = dict[str, str]


@pytest.fixture
async def person(served: Served) -> AsyncIterator[Client]:
    """Somebody who is signed in."""
    async with httpx2.AsyncClient(base_url=served.origin, timeout=30, trust_env=False) as client:
        form = {"Origin": served.origin}
        await client.post("/login", data={"token": ADMIN_TOKEN}, headers=form)
        yield client


@asynccontextmanager
async def stream(
    client: Client, query: str = "", **headers: str
) -> AsyncIterator[AsyncIterator[Fields]]:
    async with client.stream("GET", f"/live{query}", headers=headers) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        yield events(response)


async def events(response: httpx2.Response) -> AsyncIterator[Fields]:
    """The fields of each event; comments come as events with a `comment` only."""
    fields: Fields = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            name = name or "comment"
            fields[name] = f"{fields[name]}\n{value}" if name in fields else value
        elif fields:
            yield fields
            fields = {}


async def told(found: AsyncIterator[Fields], text: str, seconds: float = 10) -> Fields:
    """Wait for a message that holds a text."""
    async with asyncio.timeout(seconds):
        async for fields in found:
            if text in fields.get("data", ""):
                return fields
    raise AssertionError("the stream ended")


async def store(client: Client, name: str = "Ana") -> str:
    headers = {**BEARER, "Prefer": "respond-async"}
    answer = await client.post("/functions/hello", json={"name": name}, headers=headers)
    found: str = answer.json()["id"]
    return found


async def head(served: Served) -> str:
    services: Services = served.app.state.services
    return await services.opened.feed.head()


async def test_what_happens_is_told_at_once(served: Served, person: Client) -> None:
    async with stream(person, f"?after={await head(served)}") as found:
        assert "comment" in await anext(found)
        name = await store(person)
        message = await told(found, name)

    assert message["data"].startswith('<hx-partial hx-target="#live"')
    assert "event" not in message  # unnamed: htmx puts it into the page
    assert message["id"]


async def test_who_comes_back_gets_what_it_missed(served: Served, person: Client) -> None:
    async with stream(person, f"?after={await head(served)}") as found:
        first = await told(found, await store(person))
    missed = await store(person)

    async with stream(person, **{"Last-Event-ID": first["id"]}) as found:
        message = await told(found, missed)
    async with stream(person, **{"Last-Event-ID": message["id"]}) as found:
        later = await told(found, await store(person))

    assert first["id"] != message["id"] != later["id"]


async def test_somebody_who_missed_nothing_is_told_nothing(
    served: Served, person: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.live, "HEARTBEAT_SECONDS", 0.2)
    await store(person)
    async with stream(person, f"?after={await head(served)}") as found:
        heard = [await anext(found) for _ in range(3)]

    assert all("data" not in fields for fields in heard)


async def test_a_cursor_from_nowhere_gets_the_page_as_it_is(person: Client) -> None:
    name = await store(person)
    for after in ("nonsense", "", "99999999999999999999.1", "0.0"):
        async with stream(person, **{"Last-Event-ID": after}) as found:
            assert await told(found, name), after


async def test_a_stream_shows_what_its_page_filters(served: Served, person: Client) -> None:
    async with stream(person, f"?state=dead&after={await head(served)}") as found:
        name = await store(person)
        message = await told(found, "tile")

    assert f'id="row-{name}"' not in message["data"]


async def test_one_invocation_is_followed(served: Served, person: Client, worker: None) -> None:
    name = await store(person)
    async with stream(person, f"?invocation={name}&after=0.0") as found:
        await told(found, "Hello, Ana!")


async def test_many_changes_make_few_messages(served: Served, person: Client) -> None:
    count = 0
    async with stream(person, f"?after={await head(served)}") as found:
        await asyncio.gather(*[store(person) for _ in range(40)])
        last = await store(person)
        async with asyncio.timeout(10):
            async for fields in found:
                count += "data" in fields
                if last in fields.get("data", ""):
                    break

    assert count <= 10


async def test_a_stream_ends_with_its_session(
    served: Served, person: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.live, "HEARTBEAT_SECONDS", 0.2)
    async with stream(person, f"?after={await head(served)}") as found:
        await anext(found)
        async with served.database.engine() as connection:
            await connection.execute("DELETE FROM session")
        async with asyncio.timeout(10):
            heard = [fields async for fields in found]

    assert heard[-1]["event"] == "signed-out"


async def test_there_are_so_many_streams_and_no_more(
    served: Served, person: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.watch, "STREAMS_AT_MOST", 1)
    watch: Watch = served.app.state.watch
    async with stream(person, "?after=0.0") as found:
        await anext(found)
        await until(lambda: watch.streams == 1)
        refused = await person.get("/live")
    await until(lambda: watch.streams == 0)

    assert refused.status_code == 503
    assert refused.headers["retry-after"]


async def test_a_gateway_that_stops_sends_its_streams_to_the_next_at_once(
    served: Served, person: Client
) -> None:
    async with stream(person, f"?after={await head(served)}") as found:
        await anext(found)
        served.server.should_exit = True
        async with asyncio.timeout(3):
            heard = [fields async for fields in found]

    assert heard[-1]["event"] == "reconnect"
    assert heard[-1]["retry"] == "200"
