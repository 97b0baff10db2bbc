"""What callers of the private function API get."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from state.database import Database
from state.ids import public_id
from state.invocations import Invocations
from state.shops import open_shop
from tests.gateway.conftest import BEARER, Client


async def test_the_result_of_a_function_is_the_body(api: Client, worker: None) -> None:
    answer = await api.post("/functions/hello", json={"name": "Ana"})

    assert answer.status_code == 200
    assert answer.json() == "Hello, Ana!"
    assert answer.headers["nexus-invocation"].startswith("inv_")


async def test_no_body_at_all_is_an_event_without_fields(api: Client, worker: None) -> None:
    assert (await api.post("/functions/hello")).json() == "Hello, world!"


async def test_who_prefers_not_to_wait_gets_an_address(api: Client, worker: None) -> None:
    stored = await api.post("/functions/hello", json={}, headers={"Prefer": "respond-async"})
    ended = await api.get(stored.headers["location"], headers={"Prefer": "wait=20"})

    assert stored.status_code == 202
    assert stored.json()["id"] == ended.json()["id"]
    assert ended.json()["state"] == "done"
    assert ended.json()["result"] == "Hello, world!"


async def test_what_is_not_finished_in_time_goes_on(api: Client) -> None:
    answer = await api.post("/functions/hello", json={}, headers={"Prefer": "wait=0"})
    later = await api.get(answer.headers["location"])

    assert answer.status_code == 504
    assert answer.json()["invocation"] == answer.headers["nexus-invocation"]
    assert later.json()["state"] == "waiting"
    assert later.headers["retry-after"] == "1"


async def test_the_same_key_and_event_is_the_same_invocation(api: Client, worker: None) -> None:
    key = {"Idempotency-Key": "order-7"}
    first = await api.post("/functions/hello", json={"name": "Ana"}, headers=key)
    again = await api.post("/functions/hello", json={"name": "Ana"}, headers=key)

    assert again.status_code == 200
    assert again.json() == first.json()
    assert again.headers["nexus-invocation"] == first.headers["nexus-invocation"]
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers


async def test_a_key_used_for_something_else_is_a_conflict(api: Client) -> None:
    headers = {"Idempotency-Key": "order-7", "Prefer": "respond-async"}
    await api.post("/functions/hello", json={"name": "Ana"}, headers=headers)
    other = await api.post("/functions/hello", json={"name": "Bea"}, headers=headers)

    assert other.status_code == 409
    assert other.json()["type"] == "urn:nexus:problem:key-conflict"


async def test_a_key_has_visible_letters_and_a_limit(api: Client) -> None:
    for key in ("", "two words", "x" * 191):
        answer = await api.post("/functions/hello", json={}, headers={"Idempotency-Key": key})
        assert answer.status_code == 400, key


async def test_wrong_fields_are_named(api: Client) -> None:
    answer = await api.post("/functions/hello", json={"nam": "Ana"})

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [problem["field"] for problem in answer.json()["errors"]] == ["nam"]
    assert answer.json()["remedy"]


async def test_an_unknown_function_comes_with_a_suggestion(api: Client) -> None:
    answer = await api.post("/functions/helo", json={})

    assert answer.status_code == 404
    assert "did you mean 'hello'" in answer.json()["detail"]


async def test_a_waiting_request_learns_that_its_invocation_was_cancelled(
    api: Client, database: Database
) -> None:
    invocations = Invocations(database)
    waiting = asyncio.create_task(api.post("/functions/hello", json={}))
    async with asyncio.timeout(10):
        while not (found := await invocations.page()):
            await asyncio.sleep(0.02)
    await invocations.cancel(found[0].id, actor="test")
    answer = await waiting

    assert answer.status_code == 424
    assert answer.json()["state"] == "cancelled"
    assert answer.json()["invocation"] == public_id(found[0].id)


async def test_only_json_of_a_megabyte_is_taken(api: Client) -> None:
    form = await api.post("/functions/hello", data={"name": "Ana"})
    broken = await api.post(
        "/functions/hello", content=b"{", headers={"Content-Type": "application/json"}
    )
    deep = await api.post(
        "/functions/hello", content=b"[" * 100_000, headers={"Content-Type": "application/json"}
    )
    large = await api.post("/functions/hello", json={"name": "x" * 1_000_001})

    assert [each.status_code for each in (form, broken, deep, large)] == [415, 400, 400, 413]
    assert "1,000,000 bytes" in large.json()["detail"]


async def test_half_a_letter_is_refused(api: Client) -> None:
    half = await api.post(
        "/functions/hello",
        content=b'{"name": "\\ud800"}',
        headers={"Content-Type": "application/json"},
    )

    assert half.status_code in (400, 422)


async def test_the_shop_is_named_by_a_header(api: Client, database: Database) -> None:
    shop = await open_shop(database, "demo")
    stored = await api.post(
        "/functions/hello", json={}, headers={"Nexus-Shop": "demo", "Prefer": "respond-async"}
    )
    unknown = await api.post("/functions/hello", json={}, headers={"Nexus-Shop": "demmo"})
    elsewhere = await api.get(stored.headers["location"], headers={"Nexus-Shop": "installation"})
    (found,) = await Invocations(database).page()

    assert found.tenant == shop.tenant
    assert unknown.status_code == 404
    assert elsewhere.status_code == 404


async def test_nobody_passes_without_the_token(outside: Client) -> None:
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic " + "t" * 40},
        {**BEARER, "Nexus-Door": "public"},
    ):
        for path in ("/functions/hello", "/functions/nobody", "/metrics", "/readyz", "/internal/x"):
            answer = await outside.get(path, headers=headers)
            assert answer.status_code == (404 if "Nexus-Door" in headers else 401), path
            assert "hello" not in answer.text


async def test_another_method_is_refused_with_the_right_one(api: Client) -> None:
    answer = await api.get("/functions/hello")

    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


async def test_an_invocation_of_another_function_is_not_found(api: Client) -> None:
    stored = await api.post("/functions/hello", json={}, headers={"Prefer": "respond-async"})
    name = stored.json()["id"]

    assert (await api.get(f"/functions/greet/invocations/{name}")).status_code == 404
    assert (await api.get("/functions/hello/invocations/inv_nonsense")).status_code == 404
    assert (await api.get(f"/functions/hello/invocations/{name}")).status_code == 200


@pytest.mark.parametrize("header", ["Nexus-Delay", "Nexus-At"])
async def test_an_event_may_be_for_later(
    api: Client, database: Database, worker: None, header: str
) -> None:
    at = datetime.now(UTC) + timedelta(hours=2)
    value = "7200" if header == "Nexus-Delay" else at.isoformat()
    answer = await api.post("/functions/hello", json={}, headers={header: value})
    found = await api.get(answer.headers["location"])

    assert answer.status_code == 202, "nobody waits for it unasked"
    assert found.json()["state"] == "waiting"
    async with database.engine() as connection:
        due = await connection.fetchval("SELECT run_at FROM work")
    assert abs(due - at) < timedelta(seconds=30)


async def test_who_wants_to_may_wait_for_what_is_for_later(api: Client, worker: None) -> None:
    past = {"Nexus-At": "2020-01-01T00:00:00Z", "Prefer": "wait=30"}
    soon = {"Nexus-Delay": "0.2", "Prefer": "wait=30"}

    assert (await api.post("/functions/hello", json={}, headers=past)).json() == "Hello, world!"
    assert (await api.post("/functions/hello", json={}, headers=soon)).json() == "Hello, world!"


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({"Nexus-Delay": "soon"}, "invalid-delay"),
        ({"Nexus-Delay": "-1"}, "invalid-delay"),
        ({"Nexus-Delay": "nan"}, "invalid-delay"),
        ({"Nexus-Delay": "999999999"}, "invalid-delay"),
        ({"Nexus-At": "tomorrow"}, "invalid-time"),
        ({"Nexus-At": "2026-12-24T09:00:00"}, "invalid-time"),
        ({"Nexus-At": "2026-12-24T09:00:00Z", "Nexus-Delay": "1"}, "two-times"),
    ],
)
async def test_an_unclear_time_is_refused_with_an_example(
    api: Client, database: Database, headers: dict[str, str], kind: str
) -> None:
    answer = await api.post("/functions/hello", json={}, headers=headers)

    assert answer.status_code == 400
    assert answer.json()["type"] == f"urn:nexus:problem:{kind}"
    assert "Nexus-" in answer.json()["remedy"]
    async with database.engine() as connection:
        assert await connection.fetchval("SELECT count(*) FROM work") == 0
