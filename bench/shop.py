"""A shop with a WhatsApp number in a running stack, and shoppers who write to it."""

import asyncio
import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from typing import Any

from bench.client import Answer, Client
from bench.stack import Running
from state.apps import add_app
from state.channels import add_channel
from state.credentials import put_credential
from state.database import Database
from state.keyring import KeyRing
from state.shops import INSTALLATION, open_shop

APP, NUMBER = "bench", "106540352242922"
SECRET, TOKEN = "bench-app-secret-of-thirty-two-bytes", "bench-access-token"
READY_SECONDS = 15.0


@dataclass(frozen=True)
class Shopper:
    """Somebody who writes to the shop."""

    phone: str
    name: str = "Ana"


async def open_bench_shop(running: Running) -> None:
    """Register the app, open the shop and bind its number; wait until its webhook answers."""
    environment = running.environment()
    ring = KeyRing.parse(environment["ENCRYPTION_KEY"])
    database = await Database.open(environment["POSTGRES_DSN"], application="bench")
    try:
        shop = await open_shop(database, "bench")
        await register_app(database, ring)
        async with database.tenant(shop.tenant) as connection:
            await add_channel(
                connection,
                shop.tenant,
                kind="cloud_api",
                app=APP,
                address=NUMBER,
                display="+54 341 555-0100",
            )
            await put_credential(
                connection, ring, tenant=shop.tenant, purpose="whatsapp", name=NUMBER, secret=TOKEN
            )
    finally:
        await database.aclose()
    client = Client(running.card.address)
    until = time.monotonic() + READY_SECONDS
    while (await post_signed(client, b"{}")).status != 200:
        if time.monotonic() > until:
            raise RuntimeError("the gateway does not learn of the registration")
        await asyncio.sleep(0.05)
    client.close()


async def register_app(database: Database, ring: KeyRing) -> None:
    """Register the app whose webhooks are signed with `SECRET`."""
    async with database.tenant(INSTALLATION) as connection:
        for purpose, secret in (("webhook", SECRET), ("verify", "bench-verify")):
            await put_credential(
                connection, ring, tenant=INSTALLATION, purpose=purpose, name=APP, secret=secret
            )
    async with database.engine() as connection, connection.transaction():
        await add_app(connection, APP, provider="whatsapp")


def signature(body: bytes, secret: str = SECRET) -> str:
    """Return the header with which Meta signs a body."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return f"X-Hub-Signature-256: sha256={digest}"


async def post_signed(client: Client, body: bytes) -> Answer:
    """Post a body to the webhook as Meta would."""
    return await client.post_bytes(f"/webhooks/whatsapp/{APP}", body, signature(body))


def text_message(shopper: Shopper, number: int, text: str, at: float | None = None) -> bytes:
    """Return the webhook of one text message; `number` makes its wamid."""
    message = {
        "from": shopper.phone,
        "id": f"wamid.bench.{number}",
        "timestamp": str(int(time.time() if at is None else at)),
        "type": "text",
        "text": {"body": text},
    }
    contact = {"profile": {"name": shopper.name}, "wa_id": shopper.phone}
    value: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "543415550100", "phone_number_id": NUMBER},
        "contacts": [contact],
        "messages": [message],
    }
    change = {"field": "messages", "value": value}
    entry = [{"id": "102290129340398", "changes": [change]}]
    return json.dumps({"object": "whatsapp_business_account", "entry": entry}).encode()
