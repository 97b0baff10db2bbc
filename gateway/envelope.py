"""What surrounds every answer: security headers, an id to quote, and a last resort for bugs.

A yes without a word (of webhooks) has no page to protect, and goes without those headers.
"""

import asyncio
import re
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.doors import is_private
from gateway.headers import header
from runtime.logs import Log, where

log = Log("gateway")

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " media-src 'self'; connect-src 'self'; font-src 'self'; manifest-src 'self';"
    " base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    b"content-security-policy": CONTENT_SECURITY_POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=(), payment=()",
}
GIVEN_ID = re.compile(r"[0-9a-zA-Z-]{8,64}")

OnBug = Callable[[Request, Exception], Awaitable[Response]]


class Traffic:
    """How many requests were answered, for the metrics."""

    def __init__(self) -> None:
        self.answered: Counter[tuple[str, int]] = Counter()
        """By door and status."""
        self.seconds: defaultdict[str, float] = defaultdict(float)


class Envelope:
    """The outermost layer of the application."""

    def __init__(
        self, app: ASGIApp, on_bug: OnBug, traffic: Traffic, stopping: asyncio.Event
    ) -> None:
        """Wrap an application; once `stopping` is set, every answer closes its connection."""
        self._app = app
        self._stopping = stopping
        self._on_bug = on_bug
        self._traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; whatever happens, the answer is well-formed."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = header(scope, b"x-request-id").decode("latin-1")
        if not GIVEN_ID.fullmatch(request_id):
            request_id = str(uuid.uuid4())
        scope.setdefault("state", {})["request_id"] = request_id
        began, status = time.perf_counter(), 0

        async def sealed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message.setdefault("headers", [])
                if status != 200 or (b"content-length", b"0") not in headers:  # there is a page
                    present = {name for name, _ in headers}
                    headers += [each for each in HEADERS.items() if each[0] not in present]
                headers.append((b"x-request-id", request_id.encode()))
                if self._stopping.is_set():
                    headers.append((b"connection", b"close"))
            await send(message)

        try:
            await self._app(scope, receive, sealed)
        except ClientDisconnect:
            pass  # nobody is there to answer
        except Exception as error:
            # The error's text may hold what a shopper wrote: only its kind and place are logged.
            log.error("request failed", request_id=request_id, error=where(error))
            if status:
                raise ConnectionAbortedError from None  # too late to say so: break off
            response = await self._on_bug(Request(scope, receive), error)
            await response(scope, receive, sealed)
        finally:
            door = "private" if is_private(scope["path"]) else "public"
            self._traffic.answered[door, status] += 1
            self._traffic.seconds[door] += time.perf_counter() - began
