"""What providers get at a webhook's address, and what becomes of what they post."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr
from starlette.applications import Starlette

from gateway.app import create_app
from gateway.hooks import BODY_LIMIT_BYTES
from gateway.services import Services
from runtime.registry import Registry
from runtime.settings import Settings
from state.apps import add_app, remove_app
from state.credentials import put_credential
from state.database import Database
from state.keyring import KeyRing
from tests.gateway.conftest import Client, client_of

ADDRESS = "/webhooks/sample/acme"
SECRET, VERIFY = "secret-of-acme", "verify-of-acme"


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={digest}"}


async def register(database: Database, settings: Settings, secret: str = SECRET) -> None:
    assert settings.encryption_key is not None
    ring = KeyRing.parse(settings.encryption_key.get_secret_value())
    async with database.engine() as connection, connection.transaction():
        for purpose, value in (("webhook", secret), ("verify", VERIFY)):
            await put_credential(
                connection, ring, tenant=0, purpose=purpose, name="acme", secret=value
            )
        await add_app(connection, "acme", provider="sample")


async def known(app: Starlette, secret: str | None = SECRET) -> None:
    """Wait until the gateway has learnt of a registration (None: that it is gone)."""
    services: Services = app.state.services
    async with asyncio.timeout(10):
        while True:
            found = services.registrations.named("sample", "acme")
            if (found is None) if secret is None else (found and secret in found.secrets):
                return
            await asyncio.sleep(0.01)


@pytest.fixture
async def provider(app: Starlette, database: Database, settings: Settings) -> AsyncIterator[Client]:
    """A provider, at an address that is registered."""
    await register(database, settings)
    await known(app)
    async with client_of(app) as client:
        yield client


async def deliveries(database: Database) -> list[bytes]:
    async with database.engine() as connection:
        rows = await connection.fetch("SELECT body FROM delivery ORDER BY delivery_id")
    return [row["body"] for row in rows]


async def outcome(database: Database, seconds: float = 10) -> str:
    async with asyncio.timeout(seconds), database.engine() as connection:
        while (text := await connection.fetchval("SELECT result FROM outcome")) is None:
            await asyncio.sleep(0.02)
    return str(text)


async def test_the_address_is_verified_with_the_token_of_its_registration(
    provider: Client,
) -> None:
    asked = {"hub.mode": "subscribe", "hub.challenge": "1158201444"}
    right = await provider.get(ADDRESS, params={**asked, "hub.verify_token": VERIFY})
    wrong = await provider.get(ADDRESS, params={**asked, "hub.verify_token": "guess"})
    none = await provider.get(ADDRESS, params=asked)

    assert (right.status_code, right.text) == (200, "1158201444")
    assert right.headers["content-type"].startswith("text/plain")
    assert (wrong.status_code, none.status_code) == (403, 403)


async def test_what_is_signed_is_stored_as_it_came_and_read(
    provider: Client, database: Database, worker: None
) -> None:
    body = '{"from": "549341", "text": "ñ \\u00e4 \\/"}'.encode()
    answer = await provider.post(ADDRESS, content=body, headers=signed(body))

    assert (answer.status_code, answer.content) == (200, b"")
    assert await deliveries(database) == [body]
    assert "\\\\u00e4" in await outcome(database)


async def test_a_yes_says_no_more_than_its_id_and_a_no_is_guarded(provider: Client) -> None:
    yes = await provider.post(ADDRESS, content=b"{}", headers=signed(b"{}"))
    no = await provider.post(ADDRESS, content=b"{}")

    assert set(yes.headers) == {"content-length", "x-request-id"}
    assert no.headers["content-type"] == "application/problem+json"
    assert no.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe not json", b"[" * 5000, b"null", b'{"from": 7}'], ids=repr
)
async def test_whatever_is_well_signed_is_taken(
    provider: Client, database: Database, body: bytes
) -> None:
    answer = await provider.post(ADDRESS, content=body, headers=signed(body))

    assert answer.status_code == 200
    assert await deliveries(database) == [body]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Hub-Signature-256": ""},
        {"X-Hub-Signature-256": "sha256=" + "0" * 64},
        {"X-Hub-Signature": "sha1=" + "0" * 40},
        signed(b"{}", "another secret"),
        signed(b"{ }"),
    ],
    ids=["none", "empty", "zeros", "the old header", "another secret", "another body"],
)
async def test_what_is_not_signed_costs_no_database_work(
    provider: Client, app: Starlette, database: Database, headers: dict[str, str]
) -> None:
    services: Services = app.state.services
    opened, services._opened = services._opened, None  # whoever asks for the database gets 503
    try:
        answer = await provider.post(ADDRESS, content=b"{}", headers=headers)
        stranger = await provider.post("/webhooks/sample/other", content=b"{}")
    finally:
        services._opened = opened

    assert answer.status_code == 401
    assert stranger.status_code == 404
    assert await deliveries(database) == []


async def test_a_webhook_with_another_method_is_told_which_ones_there_are(
    provider: Client,
) -> None:
    answer = await provider.request("DELETE", ADDRESS)

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")
    assert answer.json()["type"] == "urn:nexus:problem:method-not-allowed"


async def test_another_providers_address_is_nobodys(provider: Client) -> None:
    for address in ("/webhooks/whatever/acme", "/webhooks/sample/", "/webhooks/sample"):
        assert (await provider.post(address, content=b"{}")).status_code == 404


async def test_too_large_a_body_is_refused_before_it_is_read_whole(
    provider: Client, database: Database
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(10_000):
            yield b"x" * 100_000

    answer = await provider.post(ADDRESS, content=endless(), headers=signed(b""))

    assert answer.status_code == 413
    assert BODY_LIMIT_BYTES == 4_000_000
    assert await deliveries(database) == []


async def test_a_secret_is_replaced_without_refusing_anybody(
    provider: Client, app: Starlette, database: Database, settings: Settings
) -> None:
    await register(database, settings, f"new-secret,{SECRET}")
    await known(app, "new-secret")
    for secret in ("new-secret", SECRET):
        answer = await provider.post(ADDRESS, content=b"{}", headers=signed(b"{}", secret))
        assert answer.status_code == 200

    await register(database, settings, "new-secret")
    services: Services = app.state.services
    async with asyncio.timeout(10):
        while len(getattr(services.registrations.named("sample", "acme"), "secrets", ())) > 1:
            await asyncio.sleep(0.01)
    answer = await provider.post(ADDRESS, content=b"{}", headers=signed(b"{}"))
    assert answer.status_code == 401


async def test_a_registration_that_was_removed_is_nobodys(
    provider: Client, app: Starlette, database: Database
) -> None:
    async with database.engine() as connection, connection.transaction():
        assert await remove_app(connection, "acme")
    await known(app, None)

    answer = await provider.post(ADDRESS, content=b"{}", headers=signed(b"{}"))
    assert answer.status_code == 404


@asynccontextmanager
async def gateway(settings: Settings, registry: Registry) -> AsyncIterator[Client]:
    application = create_app(settings, registry)
    async with (
        application.router.lifespan_context(application),
        client_of(application) as client,
    ):
        yield client


async def test_a_sealed_secret_has_the_provider_come_back(
    provider: Client, settings: Settings, registry: Registry
) -> None:
    other = SecretStr(Fernet.generate_key().decode())
    for changed in (other, None):
        async with gateway(
            settings.model_copy(update={"encryption_key": changed}), registry
        ) as client:
            answer = await client.post(ADDRESS, content=b"{}", headers=signed(b"{}"))
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "5"


async def test_posts_that_come_together_share_commits(
    provider: Client, app: Starlette, database: Database
) -> None:
    services: Services = app.state.services
    intake = services.opened.dispatcher.intake
    async with database.engine() as connection:
        before = await connection.fetchval("SELECT pg_current_xact_id()::text::bigint")
        await asyncio.gather(
            *[intake.take("receive", "acme", f"acme:{n % 7}", b"%d" % n) for n in range(60)]
        )
        after = await connection.fetchval("SELECT pg_current_xact_id()::text::bigint")

    assert sorted(map(int, await deliveries(database))) == list(range(60))
    assert after - before < 10
