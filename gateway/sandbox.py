"""The simulated phone: what it sends looks like WhatsApp's own, and takes the very same way in.

Its registration has no address outside: only pages and the command line of this installation post
for it, past the signature and into the same intake.
"""

import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

from runtime.dispatch import Dispatcher
from runtime.signatures import SCHEMES
from state.channels import SANDBOX
from state.shops import Shop

FUNCTION = "webhook_intake"


@dataclass(frozen=True)
class Shopper:
    """Somebody with a simulated phone."""

    phone: str
    """Digits; simulated shoppers have numbers that nobody has."""
    name: str


def new_shopper(name: str) -> Shopper:
    """Return somebody who never wrote before."""
    return Shopper(f"5400000{secrets.randbelow(10**8):08}", name)


def text_message(shop: Shop, shopper: Shopper, text: str) -> tuple[str, bytes]:
    """Return the id of a new message, and the delivery that WhatsApp would post for it."""
    wamid = f"wamid.sandbox.in.{secrets.token_hex(12)}"
    message = {
        "from": shopper.phone,
        "id": wamid,
        "timestamp": str(int(time.time())),
        "type": "text",
        "text": {"body": text},
    }
    value: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "sandbox", "phone_number_id": shop.name},
        "contacts": [{"profile": {"name": shopper.name}, "wa_id": shopper.phone}],
        "messages": [message],
    }
    entry = [{"id": "sandbox", "changes": [{"field": "messages", "value": value}]}]
    return wamid, json.dumps({"object": "whatsapp_business_account", "entry": entry}).encode()


async def write(dispatcher: Dispatcher, shop: Shop, shopper: Shopper, text: str) -> str:
    """Send a text to a shop and return its id; when this returns, it is durable.

    Raises:
        ServerAway: it may or may not be stored.
    """
    wamid, body = text_message(shop, shopper, text)
    sender = SCHEMES["meta"].sender(SANDBOX, body)
    await dispatcher.intake.take(FUNCTION, SANDBOX, sender, body)
    return wamid
