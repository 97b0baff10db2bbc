"""A strict stand-in of an OpenAI-compatible server for Chat Completions.

In a test: `async with standing_in() as model`, with `model.says("…")`, `model.calls(…)` and the
like. Nothing told, it echoes the marks (`#12`) of what the shopper wrote last, so that whoever
reads the replies knows which messages each of them answers.

    python -m tests.providers.model --port N
"""

import argparse
import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.providers.meta import Guest

MARK = re.compile(r"#\d+")
KNOWN = frozenset(
    {
        *("model", "messages", "tools", "tool_choice", "stream", "stream_options", "temperature"),
        *("max_completion_tokens", "parallel_tool_calls", "response_format"),
    }
)
ROLES = frozenset({"system", "user", "assistant", "tool", "developer"})

Chunk = dict[str, Any]


class Model:
    """The stand-in."""

    def __init__(self, *, key: str | None = None) -> None:
        self.asked: list[dict[str, Any]] = []
        """Requests that were answered: what is billed."""
        self.keys: list[str] = []
        """What each of them was authorized by."""
        self.requests = 0
        """All of them."""
        self.refused: list[str] = []
        """What was wrong with requests that were not strictly right."""
        self.url = ""
        self._key = key
        self.uses = (20, 5)
        """What an answer is billed with: tokens in and out."""
        self._next: list[Response | list[Chunk]] = []
        self._thinking: tuple[asyncio.Event, asyncio.Event] | None = None
        self.app = Starlette(
            routes=[Route("/v1/chat/completions", self._complete, methods=["POST"])]
        )

    def says(self, text: str, *, finish: str = "stop") -> None:
        """Answer the next request with a text."""
        self._next.append([delta(content=text), delta(finish=finish)])

    def calls(self, *calls: tuple[str, Any]) -> None:
        """Answer the next request with tool calls: names and arguments (text: sent as it is)."""
        self.streams(*_tool_pieces(calls), delta(finish="tool_calls"))

    def streams(self, *chunks: Chunk) -> None:
        """Answer the next request with these pieces and nothing else: they may be wrong."""
        self._next.append(list(chunks))

    def fails(self, status: int, code: str, **headers: str) -> None:
        """Refuse the next request; headers with underscores in place of dashes."""
        answer = _error(status, code, "refused by request")
        for name, value in headers.items():
            answer.headers[name.replace("_", "-")] = value
        self._next.append(answer)

    def answers_a_page(self) -> None:
        """Answer the next request with 200 and a page."""
        self._next.append(HTMLResponse("<h1>Welcome</h1>"))

    def trickles(self) -> None:
        """Answer the next request with words that never end."""
        self._next.append(StreamingResponse(_endless(), media_type="text/event-stream"))

    def thinks(self) -> tuple[asyncio.Event, asyncio.Event]:
        """Have the next request wait; returns when it is there, and what lets it go on."""
        self._thinking = (asyncio.Event(), asyncio.Event())
        return self._thinking

    async def _complete(self, request: Request) -> Response:
        if self._key is not None and request.headers.get("authorization") != f"Bearer {self._key}":
            return _error(401, "invalid_api_key", "the key is not accepted")
        self.requests += 1
        try:
            body = await request.json()
        except ClientDisconnect:  # whoever asked was killed
            return Response(status_code=400)
        if wrong := _wrong(body):
            self.refused.append(wrong)
            return _error(400, "invalid_request_error", wrong)
        if self._thinking is not None:
            (there, go_on), self._thinking = self._thinking, None
            there.set()
            await go_on.wait()
        found = (
            self._next.pop(0) if self._next else [delta(content=_echo(body)), delta(finish="stop")]
        )
        if isinstance(found, Response):
            return found
        self.asked.append(body)
        self.keys.append(request.headers.get("authorization", ""))
        return StreamingResponse(_events(found, self.uses), media_type="text/event-stream")


def _echo(body: Mapping[str, Any]) -> str:
    """Return the marks in everything the shopper wrote after our last words."""
    new: list[str] = []
    for message in body["messages"]:
        if message["role"] == "assistant":
            new = []
        elif message["role"] == "user":
            new += MARK.findall(str(message["content"]))
    return f"ok {' '.join(new)}".strip()


def _wrong(body: Any) -> str | None:
    """Return what a strict server would not take; None: it is right."""
    if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
        return "messages: missing"
    if unknown := sorted(set(body) - KNOWN):
        return f"{unknown[0]}: unknown field"
    if not isinstance(body.get("model"), str) or not body["model"]:
        return "model: missing"
    open_calls: list[str] = []
    for place, message in enumerate(body["messages"]):
        role = message.get("role")
        if role not in ROLES:
            return f"messages[{place}].role: {role!r}"
        if role == "tool":
            if message.get("tool_call_id") not in open_calls:
                return f"messages[{place}]: a result of no call"
            open_calls.remove(message["tool_call_id"])
        elif open_calls:
            return f"messages[{place}]: a call has no result"
        if role != "assistant" and not isinstance(message.get("content"), str):
            return f"messages[{place}].content: text"
        open_calls += [call["id"] for call in message.get("tool_calls") or []]
    return "the last call has no result" if open_calls else None


def delta(
    content: str | None = None,
    calls: Sequence[Mapping[str, Any]] | None = None,
    finish: str | None = None,
) -> Chunk:
    delta: dict[str, Any] = {}
    if content is not None:
        delta["content"] = content
    if calls is not None:
        delta["tool_calls"] = list(calls)
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def _tool_pieces(calls: Sequence[tuple[str, Any]]) -> list[Chunk]:
    """Return calls in two pieces each, interleaved, as compatible servers send them."""
    first, second = [], []
    for index, (name, arguments) in enumerate(calls):
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        half = len(text) // 2
        function = {"name": name, "arguments": text[:half]}
        begun = {"index": index, "id": f"call_{index}", "type": "function", "function": function}
        first.append(delta(calls=[begun]))
        second.append(delta(calls=[{"index": index, "function": {"arguments": text[half:]}}]))
    return [*first, *second]


async def _events(chunks: Sequence[Chunk], uses: tuple[int, int]) -> AsyncIterator[str]:
    common = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    for chunk in chunks:
        yield f"data: {json.dumps({**common, **chunk})}\n\n"
    if any(choice["finish_reason"] for chunk in chunks for choice in chunk.get("choices", ())):
        read, written = uses
        usage = {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
        }
        yield f"data: {json.dumps({**common, 'choices': [], 'usage': usage})}\n\n"
        yield "data: [DONE]\n\n"


async def _endless() -> AsyncIterator[str]:
    while True:
        yield f"data: {json.dumps(delta(content='…'))}\n\n"
        await asyncio.sleep(0.05)


def _error(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": "error", "code": code}}, status)


@asynccontextmanager
async def standing_in(*, key: str | None = None, port: int = 0) -> AsyncIterator[Model]:
    """Serve a stand-in on loopback; `url` is what OPENAI_BASE_URL has to be."""
    model = Model(key=key)
    config = uvicorn.Config(
        model.app, host="127.0.0.1", port=port, log_level="error", lifespan="off"
    )
    server = Guest(config)
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:
            await asyncio.sleep(0.01)
    model.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    try:
        yield model
    finally:
        server.should_exit = True
        await serving


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    uvicorn.run(Model().app, host="127.0.0.1", port=port, log_level="error", lifespan="off")


if __name__ == "__main__":
    main()
