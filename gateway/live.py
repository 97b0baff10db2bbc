"""`GET /live`: a page's moving part as server-sent events, from the change feed.

A message holds the part as it is now, and its id is a cursor of the change feed: who comes back
with `Last-Event-ID` gets what it missed. Many changes make one message. A page is a page first:
without this it is complete, and merely stands still.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from gateway.auth import cookie_name, signed_in
from gateway.pages.filter import Filter
from gateway.pages.invocations import detail_of
from gateway.pages.page import part
from gateway.pages.phone import shop_for_phone, thread_of
from gateway.problems import Problem
from gateway.services import Services
from gateway.texts import language_of, texts
from gateway.tokens import Tokens
from gateway.watch import Watch
from state.changes import parse_cursor
from state.errors import DatabaseAway
from state.ids import parse_id
from state.sessions import Sessions

HEARTBEAT_SECONDS = 15.0
LEAST_PAUSE_SECONDS = 0.3
PAUSE_TIMES = 10
"""After a message a stream rests so many times as long as it took to make."""
AWAY_SECONDS = 1.0
BEGINNING = "0.0"
"""Before every change: the first message comes at once."""

COME_BACK = "event: reconnect\nretry: 200\ndata:\n\n"
SIGNED_OUT = "event: signed-out\ndata:\n\n"
AWAY = "event: away\ndata:\n\n"

Render = Callable[[], Awaitable[tuple[str, bool]]]
"""Gives the HTML, and whether it is settled; else it is worth making it again soon."""


@signed_in
async def live(request: Request) -> Response:
    """Stream the moving part of the list, or of one invocation."""
    watch: Watch = request.app.state.watch
    if watch.full:
        raise Problem(503, "too-many-streams", "too many live pages", headers={"Retry-After": "10"})
    after = request.headers.get("last-event-id") or request.query_params.get("after", "")
    try:
        parse_cursor(after)
    except ValueError:
        after = BEGINNING
    stream = Stream(request, _renderer(request), after)
    return StreamingResponse(
        stream.messages() if request.method == "GET" else iter(()),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


routes = [Route("/live", live, methods=["GET"])]


class Stream:
    """One open page."""

    def __init__(self, request: Request, render: Render, after: str) -> None:
        state = request.app.state
        self._services: Services = state.services
        self._stopping = self._services.stopping.begun
        self._watch: Watch = state.watch
        self._admin: Tokens = state.admin
        self._secret = request.cookies[cookie_name(request)]
        self._render = render
        self._after = after
        self._sent = ""

    async def messages(self) -> AsyncIterator[str]:
        """Give messages until the session ends or the gateway stops."""
        yield ": welcome\n\n"
        while not self._stopping.is_set():
            try:
                async with self._watch.watching(self._after) as news:
                    async for message in self._of(news):
                        yield message
                return
            except (DatabaseAway, Problem):
                yield AWAY
                await _either(self._stopping, self._stopping, AWAY_SECONDS)
        yield COME_BACK

    async def _of(self, news: asyncio.Event) -> AsyncIterator[str]:
        while True:
            happened = await _either(news, self._stopping, HEARTBEAT_SECONDS)
            if self._stopping.is_set():
                yield COME_BACK
                return
            if happened:
                news.clear()
                began = time.monotonic()
                cursor = self._watch.cursor  # before reading: what comes meanwhile is told next
                html, settled = await self._render()
                if html != self._sent:
                    self._sent, self._after = html, cursor
                    yield _message(html, cursor)
                if not settled:
                    news.set()
                took = time.monotonic() - began
                rest = max(LEAST_PAUSE_SECONDS, took * PAUSE_TIMES)
                await _either(self._stopping, self._stopping, rest)
            elif await self._signed_in():
                yield ": still here\n\n"
            else:
                yield SIGNED_OUT
                return

    async def _signed_in(self) -> bool:
        try:
            sessions = Sessions(self._services.opened.database)
            return await sessions.alive(self._secret, self._admin.fingerprints())
        except (DatabaseAway, Problem):
            return True  # nobody can say; no new content comes meanwhile


def _renderer(request: Request) -> Render:
    """Return what makes the moving part of the page that asks."""
    words = texts(language_of(request))
    services, boards = request.app.state.services, request.app.state.boards
    phone = request.query_params.get("phone")
    if phone is not None:
        shop_name = request.query_params.get("shop", "")

        async def thread() -> tuple[str, bool]:
            shop = await shop_for_phone(services, shop_name)
            return part(words, "_phone.html", await thread_of(services, shop, phone)), True

        return thread
    name = request.query_params.get("invocation")
    if name is None:
        wanted = Filter.of(request.query_params)

        async def board() -> tuple[str, bool]:
            found = await boards.read(wanted)
            return part(words, "_board.html", found), found.settled

        return board
    try:
        number = parse_id(name)
    except ValueError:
        raise Problem(404, "unknown-invocation", "there is no such invocation") from None

    async def detail() -> tuple[str, bool]:
        found = await detail_of(services, boards, number)
        return part(words, "_detail.html", found) if found else "", True

    return detail


async def _either(first: asyncio.Event, second: asyncio.Event, seconds: float) -> bool:
    """Wait for one of two events; False: neither came in time."""
    waiting = {asyncio.ensure_future(each.wait()) for each in {first, second}}
    try:
        done, _ = await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
    finally:
        for task in waiting:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def _message(html: str, cursor: str) -> str:
    """Return an unnamed message: htmx puts the part where it belongs."""
    body = f'<hx-partial hx-target="#live" hx-swap="innerMorph">{html}</hx-partial>'
    lines = "\n".join(f"data: {line}" for line in body.splitlines())
    return f"id: {cursor}\n{lines}\n\n"
