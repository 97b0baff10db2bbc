"""A strict stand-in of Meta's Graph API for messages, as unreliable as one likes.

In a test: `async with standing_in() as meta`, with `meta.loses_the_next_answer()` and the like.
For benches, as a process whose append-only log is the judge:

    python -m tests.providers.meta --port N --log FILE --webhook URL --secret S [--lose 0.04 …]

Each line of the log is a message that was accepted: what Meta would have delivered.
`GET /standing` says how many, and how many webhooks nobody has acknowledged yet.
"""

import argparse
import asyncio
import base64
import json
import os
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tests.providers.graph import VERSION, Wrong, check_message, error_document
from tests.providers.webhooks import Webhooks, envelope, status_of

KEEP_ALIVE_SECONDS = 75
PAIR, THROUGHPUT = 131056, 130429


@dataclass(frozen=True)
class Shares:
    """Of all messages, how many meet what; the rest are answered at once."""

    pair: float = 0.0
    """Refused with 131056."""
    throughput: float = 0.0
    """Refused with 130429."""
    broken: float = 0.0
    """Answered with 500, and not accepted."""
    drop: float = 0.0
    """The connection ends before the message is accepted."""
    lose: float = 0.0
    """Accepted, and the connection ends without an answer."""
    slow: float = 0.0
    """Accepted, and answered after `slow_seconds`."""
    slow_seconds: float = 0.5
    repeat: float = 0.0
    """Statuses that are told twice."""
    status_seconds: float = 0.0
    """Each status is told up to this late, so they overtake each other."""
    read: float = 0.5
    """Messages that are read."""


@dataclass(frozen=True)
class Taken:
    """A message that was accepted."""

    phone_number_id: str
    to: str
    body: str
    callback: str | None
    wamid: str
    at: float


Reaction = Callable[[Request, "Meta", Taken], Awaitable[Response | None]]
"""What happens to one message; None: as usual."""


class Meta:
    """The stand-in."""

    def __init__(
        self,
        *,
        shares: Shares | None = None,
        seed: int = 1,
        log: Path | None = None,
        webhooks: Webhooks | None = None,
        access_token: str | None = None,
    ) -> None:
        self.shares = shares or Shares()
        self.webhooks = webhooks
        self.accepted: list[Taken] = []
        self.refused: list[str] = []
        """What was wrong with requests that were not strictly right."""
        self.posts = 0
        self.url = ""
        self._access_token = access_token
        self._random = random.Random(seed)
        self._log = None if log is None else os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._next: list[Reaction] = []
        self._server: uvicorn.Server | None = None
        self.app = Starlette(
            routes=[
                Route("/standing", self._standing),
                Route("/{version}/{number}/messages", self._message, methods=["POST"]),
            ]
        )

    # What the next message meets; called several times: the next ones, in order.

    def answers_busy(self, code: int = PAIR, http_status: int = 400) -> None:
        """Refuse the next message with an error code."""

        async def refuse(request: Request, meta: Meta, taken: Taken) -> Response:
            return JSONResponse(error_document(code, "refused by request"), http_status)

        self._next.append(refuse)

    def breaks(self, http_status: int = 500, body: str = "<html>sorry</html>") -> None:
        """Answer the next message with something unreadable, and do not accept it."""

        async def answer(request: Request, meta: Meta, taken: Taken) -> Response:
            return PlainTextResponse(body, http_status)

        self._next.append(answer)

    def drops_the_next_connection(self) -> None:
        """End the connection of the next message before it is accepted."""

        async def drop(request: Request, meta: Meta, taken: Taken) -> Response:
            return await meta.hang_up(request)

        self._next.append(drop)

    def loses_the_next_answer(self) -> None:
        """Accept the next message, and end the connection without an answer."""

        async def lose(request: Request, meta: Meta, taken: Taken) -> Response:
            meta.accept(taken)
            return await meta.hang_up(request)

        self._next.append(lose)

    def answers_after(self, moment: asyncio.Event) -> None:
        """Accept the next message, and answer when told to."""

        async def wait(request: Request, meta: Meta, taken: Taken) -> Response:
            meta.accept(taken)
            await moment.wait()
            return meta.acceptance(taken)

        self._next.append(wait)

    # What it does.

    def accept(self, taken: Taken) -> None:
        """Take a message over: from here on it is delivered, whoever hears of it."""
        self.accepted.append(taken)
        if self._log is not None:
            os.write(self._log, json.dumps(asdict(taken)).encode() + b"\n")
        if self.webhooks is not None:
            for status in ("sent", "delivered", "read"):
                if status == "read" and self._random.random() >= self.shares.read:
                    continue
                self.tell(taken, status)
                if self._random.random() < self.shares.repeat:
                    self.tell(taken, status)

    def tell(self, taken: Taken, status: str, code: int | None = None) -> None:
        """Send a status webhook, some time."""
        assert self.webhooks is not None
        errors = None if code is None else [{"code": code, "title": "Failed"}]
        entry = status_of(taken.wamid, status, to=taken.to, callback=taken.callback, errors=errors)
        late = self._random.uniform(0.0, self.shares.status_seconds)
        self.webhooks.tell(envelope(taken.phone_number_id, statuses=[entry]), late)

    def acceptance(self, taken: Taken) -> Response:
        """Return the answer of a message that was accepted."""
        return JSONResponse(
            {
                "messaging_product": "whatsapp",
                "contacts": [{"input": taken.to, "wa_id": taken.to}],
                "messages": [{"id": taken.wamid}],
            }
        )

    async def hang_up(self, request: Request) -> Response:
        """End the connection without a word."""
        assert self._server is not None
        assert request.client is not None
        for protocol in list(self._server.server_state.connections):
            if getattr(protocol, "client", None) == tuple(request.client):
                protocol.transport.abort()
        while not await request.is_disconnected():
            await asyncio.sleep(0)
        return Response()  # nobody gets it

    async def serve(self, server: uvicorn.Server, sockets: list[Any] | None = None) -> None:
        """Serve until the server is told to exit."""
        self._server = server
        await server.serve(sockets)

    async def _message(self, request: Request) -> Response:
        self.posts += 1
        try:
            taken = await self._check(request)
        except Wrong as wrong:
            self.refused.append(str(wrong))
            return JSONResponse(error_document(wrong.code, str(wrong)), wrong.http_status)
        if self._next:
            found = await self._next.pop(0)(request, self, taken)
            if found is not None:
                return found
        return await self._by_chance(request, taken)

    async def _by_chance(self, request: Request, taken: Taken) -> Response:
        shares, drawn = self.shares, self._random.random()
        for share, answer in (
            (shares.pair, self._refuse(PAIR, 400)),
            (shares.throughput, self._refuse(THROUGHPUT, 429)),
            (shares.broken, PlainTextResponse("<html>sorry</html>", 500)),
        ):
            if drawn < share:
                return answer
            drawn -= share
        if drawn < shares.drop:
            return await self.hang_up(request)
        self.accept(taken)
        drawn -= shares.drop
        if drawn < shares.lose:
            return await self.hang_up(request)
        if drawn - shares.lose < shares.slow:
            await asyncio.sleep(shares.slow_seconds)
        return self.acceptance(taken)

    def _refuse(self, code: int, http_status: int) -> Response:
        return JSONResponse(error_document(code, "refused by chance"), http_status)

    async def _check(self, request: Request) -> Taken:
        bearer = request.headers.get("authorization", "")
        if not bearer.startswith("Bearer ") or len(bearer) < 12:
            raise Wrong(190, "Invalid OAuth access token", 401)
        if self._access_token is not None and bearer != f"Bearer {self._access_token}":
            raise Wrong(190, "Invalid OAuth access token", 401)
        if not VERSION.fullmatch(request.path_params["version"]):
            raise Wrong(2635, "this version of the Graph API is not available")
        number = request.path_params["number"]
        if not re.fullmatch(r"[0-9]{5,20}", number):
            raise Wrong(100, "Unsupported post request. Object does not exist", 404)
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            raise Wrong(100, "the body is not JSON")
        try:
            body = json.loads(await request.body())
        except ValueError:
            raise Wrong(100, "the body is not JSON") from None
        check_message(body)
        return Taken(
            phone_number_id=number,
            to=body.get("to") or body["recipient"],
            body=body["text"]["body"],
            callback=body.get("biz_opaque_callback_data"),
            wamid="wamid." + base64.b64encode(self._random.randbytes(24)).decode(),
            at=time.time(),
        )

    async def _standing(self, request: Request) -> Response:
        hooks = self.webhooks
        return JSONResponse(
            {
                "posts": self.posts,
                "accepted": len(self.accepted),
                "refused": self.refused[:20],
                "webhooks_waiting": hooks.waiting if hooks else 0,
                "webhooks_acknowledged": hooks.acknowledged if hooks else 0,
                "webhooks_refused": hooks.refused if hooks else 0,
            }
        )


class Guest(uvicorn.Server):
    """A server in a process of somebody else: signals are none of its business."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def server_of(meta: Meta, port: int, kind: type[uvicorn.Server] = uvicorn.Server) -> uvicorn.Server:
    config = uvicorn.Config(
        meta.app,
        host="127.0.0.1",
        port=port,
        http="httptools",
        ws="none",
        lifespan="off",
        log_level="error",
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=1,
    )
    return kind(config)


@asynccontextmanager
async def standing_in(meta: Meta | None = None) -> AsyncIterator[Meta]:
    """Serve the stand-in on a free port, in this loop."""
    meta = meta or Meta()
    server = server_of(meta, 0, Guest)
    task = asyncio.create_task(meta.serve(server))
    try:
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.005)
        meta.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        yield meta
    finally:
        server.should_exit = True
        with suppress(asyncio.CancelledError):
            await task
        if meta.webhooks is not None:
            await meta.webhooks.aclose()


async def _run(arguments: argparse.Namespace) -> None:
    names = Shares.__dataclass_fields__
    meta = Meta(
        shares=Shares(**{name: getattr(arguments, name) for name in names}),
        seed=arguments.seed,
        log=arguments.log,
        webhooks=Webhooks(arguments.webhook, arguments.secret) if arguments.webhook else None,
        access_token=arguments.token,
    )
    await meta.serve(server_of(meta, arguments.port))
    if meta.webhooks is not None:
        await meta.webhooks.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(prog="meta", description="A stand-in of the Graph API.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--webhook", help="where statuses are posted")
    parser.add_argument("--secret", default="", help="signs the webhooks")
    parser.add_argument("--token", help="the only access token; default: any")
    parser.add_argument("--seed", type=int, default=1)
    for name, share in asdict(Shares()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=share)
    with asyncio.Runner(loop_factory=_loop) as runner:
        runner.run(_run(parser.parse_args()))


def _loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


if __name__ == "__main__":
    main()
