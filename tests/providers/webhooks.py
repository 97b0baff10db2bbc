"""Meta's webhooks: signed, repeated, late, and tried again until somebody answers 200."""

import asyncio
import hashlib
import hmac
import json
import random
import time
from typing import Any

import httpx2

FIRST_RETRY_SECONDS = 0.2
LONGEST_RETRY_SECONDS = 3.0


def envelope(phone_number_id: str, **value: Any) -> dict[str, Any]:
    """Return one webhook of a number; `value` is messages=, statuses= and so on."""
    return {
        "object": "whatsapp_business_account",
        "entry": [
            {
                "id": "104996122399160",
                "changes": [
                    {
                        "field": "messages",
                        "value": {
                            "messaging_product": "whatsapp",
                            "metadata": {
                                "display_phone_number": "15550783881",
                                "phone_number_id": phone_number_id,
                            },
                            **value,
                        },
                    }
                ],
            }
        ],
    }


def signed(document: dict[str, Any], secret: str) -> tuple[bytes, dict[str, str]]:
    """Return body and headers as Meta sends them: escaped, and signed over the raw bytes."""
    body = json.dumps(document).replace("/", "\\/").encode()
    mark = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return body, {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={mark}"}


class Webhooks:
    """Posts webhooks to one address until each was acknowledged."""

    def __init__(self, url: str, secret: str) -> None:
        self.url, self.secret = url, secret
        self.acknowledged = 0
        self.refused = 0
        """Tries that were answered with something else than 200, or not at all."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._client = httpx2.AsyncClient(timeout=10, trust_env=False)

    @property
    def waiting(self) -> int:
        return len(self._tasks)

    def tell(self, document: dict[str, Any], delay_seconds: float = 0.0) -> None:
        """Deliver it some time from now."""
        task = asyncio.create_task(self._deliver(document, delay_seconds))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settled(self, seconds: float = 15.0) -> None:
        """Wait until everything was acknowledged."""
        async with asyncio.timeout(seconds):
            while self._tasks:
                await asyncio.sleep(0.02)

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    async def _deliver(self, document: dict[str, Any], delay_seconds: float) -> None:
        await asyncio.sleep(delay_seconds)
        body, headers = signed(document, self.secret)
        wait = FIRST_RETRY_SECONDS
        while not await self._post(body, headers):
            self.refused += 1
            await asyncio.sleep(wait * random.uniform(0.8, 1.2))
            wait = min(wait * 2, LONGEST_RETRY_SECONDS)
        self.acknowledged += 1

    async def _post(self, body: bytes, headers: dict[str, str]) -> bool:
        try:
            answer = await self._client.post(self.url, content=body, headers=headers)
        except httpx2.HTTPError:
            return False
        return answer.status_code == 200


def status_of(
    wamid: str,
    status: str,
    *,
    to: str,
    callback: str | None,
    errors: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return one entry of `statuses`."""
    found: dict[str, Any] = {
        "id": wamid,
        "status": status,
        "timestamp": str(int(time.time())),
        "recipient_id": to,
    }
    if callback is not None:
        found["biz_opaque_callback_data"] = callback
    if errors is not None:
        found["errors"] = errors
    return found
