"""The stand-in refuses what Meta would refuse, and fails in the ways it was asked to."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.providers.meta import Guest, Meta, Shares, server_of, standing_in
from tests.providers.webhooks import Webhooks
from tests.servers import free_port

GOOD: dict[str, Any] = {
    "messaging_product": "whatsapp",
    "recipient_type": "individual",
    "to": "5491155550000",
    "type": "text",
    "text": {"preview_url": False, "body": "Hola"},
    "biz_opaque_callback_data": "1.token",
}
BEARER = {"Authorization": "Bearer EAAG-something"}


async def post(meta: Meta, body: Any = GOOD, **options: Any) -> httpx2.Response:
    path = options.pop("path", "/v25.0/106540352242922/messages")
    async with httpx2.AsyncClient() as client:
        return await client.post(meta.url + path, **{"headers": BEARER, "json": body, **options})


async def test_a_right_message_is_accepted() -> None:
    async with standing_in() as meta:
        answer = await post(meta)
        assert answer.status_code == 200
        assert answer.json()["messages"][0]["id"] == meta.accepted[0].wamid
        assert (meta.accepted[0].body, meta.accepted[0].callback) == ("Hola", "1.token")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"messaging_product": "telegram"}, 100),
        ({"to": "ana"}, 131009),
        ({"to": 5491155550000}, 100),
        ({"type": "image"}, 131051),
        ({"text": {"body": ""}}, 100),
        ({"text": {"body": "x" * 4097}}, 100),
        ({"text": {"body": "x", "colour": "red"}}, 100),
        ({"text": {}}, 131008),
        ({"idempotency_key": "x"}, 100),
        ({"biz_opaque_callback_data": "x" * 513}, 100),
        ({"context": {"message_id": "7"}}, 131009),
    ],
)
async def test_a_wrong_message_is_refused(change: dict[str, Any], code: int) -> None:
    async with standing_in() as meta:
        answer = await post(meta, {**GOOD, **change})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
        assert meta.accepted == []


async def test_tokens_versions_and_bodies_are_checked() -> None:
    async with standing_in(Meta(access_token="EAAG-right")) as meta:
        assert (await post(meta)).json()["error"]["code"] == 190
        right = {"Authorization": "Bearer EAAG-right"}
        old = await post(meta, path="/v1.0/106540352242922/messages", headers=right)
        assert old.status_code == 400
        broken = await post(
            meta,
            json=None,
            content=b"{",
            headers={**right, "Content-Type": "application/json"},
        )
        assert broken.json()["error"]["code"] == 100
        assert (await post(meta, headers=right)).status_code == 200


async def test_it_fails_as_asked() -> None:
    async with standing_in() as meta:
        meta.answers_busy()
        assert (await post(meta)).json()["error"]["code"] == 131056
        meta.drops_the_next_connection()
        with pytest.raises(httpx2.RemoteProtocolError):
            await post(meta)
        assert meta.accepted == []
        meta.loses_the_next_answer()
        with pytest.raises(httpx2.RemoteProtocolError):
            await post(meta)
        assert len(meta.accepted) == 1
        assert (await post(meta)).status_code == 200


class Hook:
    """A webhook receiver that does not acknowledge the first time."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.heads: list[str] = []
        self.app = Starlette(routes=[Route("/hook", self.receive, methods=["POST"])])

    async def receive(self, request: Request) -> Response:
        self.bodies.append(await request.body())
        self.heads.append(request.headers["x-hub-signature-256"])
        return Response(status_code=503 if len(self.bodies) == 1 else 200)


@pytest.fixture
async def hook() -> AsyncIterator[tuple[Hook, str]]:
    found, port = Hook(), free_port()
    config = server_of(Meta(), port, Guest).config
    config.app = found.app
    server = Guest(config)
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:
            await asyncio.sleep(0.005)
    yield found, f"http://127.0.0.1:{port}/hook"
    server.should_exit = True
    await task


async def test_statuses_are_signed_repeated_and_tried_again(hook: tuple[Hook, str]) -> None:
    receiver, url = hook
    shares = Shares(repeat=1.0, read=1.0, status_seconds=0.05)
    meta = Meta(shares=shares, webhooks=Webhooks(url, "secret"))
    async with standing_in(meta):
        await post(meta)
        assert meta.webhooks is not None
        await meta.webhooks.settled()
        assert meta.webhooks.acknowledged == 6
        assert meta.webhooks.refused == 1
    statuses = [
        json.loads(body)["entry"][0]["changes"][0]["value"]["statuses"][0]
        for body in receiver.bodies
    ]
    assert {one["status"] for one in statuses} == {"sent", "delivered", "read"}
    assert {one["biz_opaque_callback_data"] for one in statuses} == {"1.token"}
    assert all(head.startswith("sha256=") and len(head) == 71 for head in receiver.heads)


async def test_the_process_writes_what_it_accepted(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "meta.jsonl"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.providers.meta", "--port", str(port)),
        *("--log", str(log), "--lose", "0.5", "--seed", "3"),
    )
    meta = Meta()
    meta.url = f"http://127.0.0.1:{port}"
    try:
        answered = 0
        async with asyncio.timeout(20):
            while answered < 5:
                try:
                    answered += (await post(meta)).status_code == 200
                except httpx2.ConnectError:
                    await asyncio.sleep(0.05)
                except httpx2.RemoteProtocolError:
                    continue
        async with httpx2.AsyncClient() as client:
            standing = (await client.get(f"{meta.url}/standing")).json()
    finally:
        process.terminate()
        await process.wait()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(lines) == standing["accepted"] > 5
    assert {line["to"] for line in lines} == {"5491155550000"}
