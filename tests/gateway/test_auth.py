"""Who gets in, and who does not."""

import hashlib

import pytest
from starlette.applications import Starlette

from gateway.app import create_app
from gateway.throttle import IN_ALL, PER_ADDRESS, Throttle
from runtime.errors import ConfigurationError
from runtime.registry import Registry
from runtime.settings import Settings
from state.audit import verify
from state.database import Database
from state.sessions import Sessions
from tests.gateway.conftest import Client, client_of
from tests.gateway.people import FORM, csrf_of, send, sign_in

PAGES = ("/invocations", "/invocations/inv_0000000000000", "/live")


async def test_nobody_sees_a_page_without_signing_in(outside: Client) -> None:
    for path in PAGES:
        page = await outside.get(path, headers={"Accept": "text/html"})
        program = await outside.get(path)
        assert page.status_code == 303, path
        assert page.headers["location"].startswith("/login?next="), path
        assert program.status_code == 401, path


async def test_the_token_opens_a_session_that_scripts_cannot_read(outside: Client) -> None:
    answer = await sign_in(outside)
    cookie = answer.headers["set-cookie"]

    assert answer.status_code == 303
    assert answer.headers["location"] == "/invocations"
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/" in cookie
    assert (await outside.get("/invocations")).status_code == 200


async def test_on_https_the_cookie_is_secure_and_of_this_host_alone(app: Starlette) -> None:
    async with client_of(app, **{"X-Forwarded-Proto": "https"}) as client:
        answer = await sign_in(client)
        page = await client.get("/login")

    assert answer.headers["set-cookie"].startswith("__Host-nexus=")
    assert "Secure" in answer.headers["set-cookie"]
    assert "strict-transport-security" in page.headers


async def test_a_wrong_token_opens_nothing(outside: Client) -> None:
    answer = await sign_in(outside, "wrong" * 8)

    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert "wrongwrong" not in answer.text


async def test_guessing_is_slowed_down_per_address(outside: Client) -> None:
    answers = [await sign_in(outside, f"guess {number}") for number in range(PER_ADDRESS)]
    refused = await sign_in(outside)  # the right one, too late

    assert [each.status_code for each in answers] == [401] * PER_ADDRESS
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 30


def test_guessers_wait_longer_and_longer_and_all_together_are_bounded() -> None:
    now = 0.0
    throttle = Throttle(lambda: now)
    assert [throttle.attempt("192.0.2.1") for _ in range(PER_ADDRESS)] == [0] * PER_ADDRESS
    assert throttle.attempt("192.0.2.1") == 60
    assert throttle.attempt("192.0.2.2") == 0
    now = 61
    assert throttle.attempt("192.0.2.1") == 0
    assert throttle.attempt("192.0.2.1") == 120
    now = 1000
    for number in range(IN_ALL):
        assert throttle.attempt(f"198.51.100.{number}") == 0
    assert throttle.attempt("203.0.113.1") == 60
    now = 1061
    assert throttle.attempt("203.0.113.1") == 0


def test_an_ipv6_guesser_is_a_network() -> None:
    throttle = Throttle(lambda: 0.0)
    for number in range(PER_ADDRESS):
        assert throttle.attempt(f"2001:db8::{number:x}") == 0
    assert throttle.attempt("2001:db8::ffff") > 0
    assert throttle.attempt("2001:db8:0:1::1") == 0


async def test_a_form_of_another_site_is_refused(outside: Client) -> None:
    for headers in (
        {},
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
        {**FORM, "Sec-Fetch-Site": "cross-site"},
    ):
        answer = await outside.post("/login", data={"token": "x"}, headers=headers)
        assert answer.status_code == 403, headers


async def test_every_form_needs_the_token_of_its_session(app: Starlette, outside: Client) -> None:
    await sign_in(outside)
    async with client_of(app) as other:
        await sign_in(other)
        foreign = await csrf_of(other)
    paths = ("/logout", "/invocations/inv_0000000000000/cancel", "/alerts/1/resolve")
    for path in (*paths, "/invocations/inv_0000000000000/replay"):
        for data in ({}, {"csrf": "wrong"}, {"csrf": foreign}):
            answer = await outside.post(path, data=data, headers=FORM)
            assert answer.status_code == 403, (path, data)
            assert "Not allowed" in answer.text


async def test_signing_out_ends_the_session_everywhere(app: Starlette, outside: Client) -> None:
    await sign_in(outside)
    cookie = {"nexus": outside.cookies["nexus"]}
    answer = await send(outside, "/logout")
    async with client_of(app) as other:
        other.cookies.update(cookie)
        again = await other.get("/invocations")

    assert answer.headers["location"] == "/login"
    assert again.status_code == 401


async def test_another_admin_token_ends_every_session(
    settings: Settings, registry: Registry, outside: Client
) -> None:
    await sign_in(outside)
    changed = settings.model_validate({**settings.model_dump(), "admin_token": "admin-" + "n" * 32})
    application = create_app(changed, registry)
    async with application.router.lifespan_context(application), client_of(application) as client:
        client.cookies.update({"nexus": outside.cookies["nexus"]})
        answer = await client.get("/invocations")

    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("column", "age", "alive"),
    [
        ("seen_at", "11 hours", True),
        ("seen_at", "13 hours", False),
        ("created_at", "6 days", True),
        ("created_at", "8 days", False),
    ],
)
async def test_a_session_ends_unused_or_old(
    database: Database, outside: Client, column: str, age: str, alive: bool
) -> None:
    await sign_in(outside)
    async with database.engine() as connection:
        await connection.execute(
            f"UPDATE session SET {column} = clock_timestamp() - interval '{age}'"
        )

    answer = await outside.get("/invocations")

    assert answer.status_code == (200 if alive else 401)


async def test_the_database_knows_no_secret_of_a_session(
    database: Database, outside: Client
) -> None:
    await sign_in(outside)
    async with database.engine() as connection:
        rows = await connection.fetch("SELECT t::text FROM session t")
        chain = await verify(connection)
        actions = await connection.fetch("SELECT action, detail FROM audit_log")

    assert outside.cookies["nexus"] not in str(rows)
    assert chain is None
    assert [each["action"] for each in actions] == ["session.open"]


async def test_a_link_signs_in_once(settings: Settings, registry: Registry) -> None:
    code = "c" * 43
    digest = hashlib.sha256(code.encode()).hexdigest()
    offered = settings.model_copy(update={"login_code_sha256": digest})
    application = create_app(offered, registry)
    async with application.router.lifespan_context(application), client_of(application) as client:
        shown = await client.get(f"/login?code={code}")
        previewed = await client.get(f"/login?code={code}")
        first = await client.post("/login", data={"code": code}, headers=FORM)
        client.cookies.clear()
        second = await client.post("/login", data={"code": code}, headers=FORM)
    again = create_app(offered, registry)  # a restart offers the same code
    async with again.router.lifespan_context(again), client_of(again) as client:
        third = await client.post("/login", data={"code": code}, headers=FORM)

    assert shown.text == previewed.text
    assert f'value="{code}"' in shown.text
    assert [first.status_code, second.status_code, third.status_code] == [303, 401, 401]


async def test_a_link_is_good_for_a_quarter_of_an_hour(database: Database) -> None:
    sessions = Sessions(database)
    await sessions.offer_code(hashlib.sha256(b"code").hexdigest())
    async with database.engine() as connection:
        await connection.execute("UPDATE session SET seen_at = seen_at - interval '16 minutes'")
    await sessions.offer_code(hashlib.sha256(b"code").hexdigest())

    assert not await sessions.take_code("code")
    assert not await sessions.take_code("never offered")


async def test_after_signing_in_the_way_leads_to_our_own_pages_only(outside: Client) -> None:
    for goal, led in (
        ("/invocations?state=dead", "/invocations?state=dead"),
        ("//evil.test/invocations", "/invocations"),
        ("https://evil.test/", "/invocations"),
        ("/invocations\\@evil.test", "/invocations"),
        ("/invocations/\r\nSet-Cookie: a=b", "/invocations"),
    ):
        form = {"token": "admin-" + "t" * 32, "next": goal}
        answer = await outside.post("/login", data=form, headers=FORM)
        assert answer.headers["location"] == led


@pytest.mark.parametrize(
    "values",
    [
        {"internal_api_token": None},
        {"internal_api_token": "short"},
        {"internal_api_token": "x" * 32 + ",short"},
        {"admin_token": None},
        {"admin_token": "short"},
    ],
)
async def test_weak_secrets_are_refused_at_the_start(
    settings: Settings, registry: Registry, values: dict[str, str | None]
) -> None:
    changed = settings.model_validate({**settings.model_dump(), **values})
    with pytest.raises(ConfigurationError, match="openssl rand"):
        create_app(changed, registry)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("internal_api_token", "replace-me-with-the-output-of-openssl-rand"),
        ("internal_api_token", "x" * 64),
        ("admin_token", "Replace-Me-With-Something"),
        ("encryption_key", "replace-me-with-the-output-of-nexus-keys-new"),
    ],
)
async def test_what_examples_have_in_place_of_a_secret_is_refused(
    settings: Settings, registry: Registry, name: str, value: str
) -> None:
    changed = settings.model_validate({**settings.model_dump(), name: value})
    with pytest.raises(ConfigurationError, match=name.upper()) as caught:
        create_app(changed, registry)
    assert value not in str(caught.value)


async def test_two_internal_tokens_are_good_while_rotating(
    settings: Settings, registry: Registry
) -> None:
    new, old = "newer-" + "n" * 32, "older-" + "o" * 32
    both = f"{new}, {old}"
    changed = settings.model_validate({**settings.model_dump(), "internal_api_token": both})
    application = create_app(changed, registry)
    async with application.router.lifespan_context(application), client_of(application) as client:
        codes = [
            (await client.get("/metrics", headers={"Authorization": f"Bearer {each}"})).status_code
            for each in (new, old, both)
        ]

    assert codes == [200, 200, 401]
