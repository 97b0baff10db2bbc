"""WhatsApp Cloud API: `POST /{version}/{phone-number-id}/messages`.

There is no idempotency key, so every doubt is kept as a doubt: see `Ambiguous`. Our token goes
along in `biz_opaque_callback_data` and comes back in each status.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, ClassVar

import httpx2

from functions.channels.channel import Accepted, Ambiguous, GivenUp, Outcome, Outgoing, Refused
from functions.channels.client import client
from functions.channels.token import token_of
from runtime.settings import Settings

REQUEST_TIMEOUT = 408
"""Answered by something in between that did wait for the provider."""
BEFORE_BYTES = ("http11.send_request_headers.started", "http11.send_request_body.started")
"""Without its body a request is not complete, so the guard may still end it there."""


class CloudApi:
    """A WhatsApp number of a shop."""

    repeatable: ClassVar[bool] = False

    def __init__(self, settings: Settings, access_token: str) -> None:
        self._settings = settings
        self._access_token = access_token

    async def send(self, outgoing: Outgoing) -> Outcome:
        """Make the POST once, and sort what comes back into the three classes."""
        settings, begun = self._settings, False

        async def trace(event: str, _: Mapping[str, Any]) -> None:
            nonlocal begun
            if event in BEFORE_BYTES:
                outgoing.check_guard()
                begun = True

        url = (
            f"{settings.graph_api_url.rstrip('/')}/{settings.graph_api_version}"
            f"/{outgoing.sending.number}/messages"
        )
        payload = payload_of(outgoing, token_of(settings.encryption_key, outgoing.attempt))
        try:
            async with asyncio.timeout(settings.send_timeout_seconds):
                response = await client(settings.send_timeout_seconds).post(
                    url,
                    content=json.dumps(payload, ensure_ascii=False).encode(),
                    headers={
                        "Authorization": f"Bearer {self._access_token}",
                        "Content-Type": "application/json",
                    },
                    extensions={"trace": trace},
                )
        except GivenUp:
            return Refused()
        except Exception as error:  # whatever it is, what matters is whether bytes have left
            # The text of an error may quote the request; its kind does not.
            return Ambiguous(type(error).__name__) if begun else Refused()
        return classify(response)


def payload_of(outgoing: Outgoing, token: str) -> dict[str, Any]:
    """Return the body of the POST."""
    sending = outgoing.sending
    to = {"recipient": outgoing.to} if sending.address_kind == "bsuid" else {"to": outgoing.to}
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        **to,
        **json.loads(sending.content),
        "biz_opaque_callback_data": token,
    }


def classify(response: httpx2.Response) -> Outcome:
    """Say what an answer means: accepted, certainly refused, or nobody knows."""
    status, document = response.status_code, _document(response)
    if response.is_success:
        wamid = _wamid(document)
        if wamid is None:
            return Ambiguous("unreadable answer", status)
        return Accepted(wamid, http_status=status)
    if status >= 500 or status == REQUEST_TIMEOUT:
        return Ambiguous("server error", status)
    error = document.get("error")
    code, said = (
        (error.get("code"), error.get("message")) if isinstance(error, dict) else (None, None)
    )
    return Refused(
        code=code if isinstance(code, int) and 0 <= code < 2**31 else None,
        http_status=status,
        retry_after_seconds=_seconds(response.headers.get("retry-after")),
        said=said if isinstance(said, str) else None,
    )


def _document(response: httpx2.Response) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError:  # also: bytes that are no UTF-8
        return {}
    return found if isinstance(found, dict) else {}


def _wamid(document: dict[str, Any]) -> str | None:
    messages = document.get("messages")
    first = messages[0] if isinstance(messages, list) and messages else None
    wamid = first.get("id") if isinstance(first, dict) else None
    return wamid if isinstance(wamid, str) and 0 < len(wamid) <= 500 else None


def _seconds(text: str | None) -> float | None:
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > 6:
        return None
    return float(text)
