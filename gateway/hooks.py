"""Webhooks: each function with a Webhook trigger has `/webhooks/{path}/{app}`.

The signature is checked over the raw bytes before anything else; then the bytes are stored, and
only then the provider is told so. Whatever is well signed is taken: what is odd in it is a matter
for the function, and would otherwise be posted again for a week.
"""

import hmac
from collections.abc import Iterator
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gateway.headers import header
from gateway.problems import Problem
from gateway.services import Services
from runtime.function import Function
from runtime.registry import Registry
from runtime.signatures import SCHEMES
from runtime.trigger import Webhook
from state.apps import OpenedApp

BODY_LIMIT_BYTES = 4_000_000
"""WhatsApp posts up to 3 MB (Cloud API, "Webhooks")."""
METHODS = ["GET", "POST"]


def routes(registry: Registry) -> list[Route]:
    """Return the addresses of every declared webhook."""
    return [
        Route(f"/webhooks/{trigger.path}/{{app}}", Hook(function, trigger), methods=METHODS)
        for function, trigger in _declared(registry)
    ]


def _declared(registry: Registry) -> Iterator[tuple[Function[Any], Webhook]]:
    for function in registry:
        for trigger in function.policy.trigger:
            if isinstance(trigger, Webhook):
                yield function, trigger


class Hook:
    """What answers at the addresses of one webhook.

    It speaks ASGI itself: most requests come in here, and of each only one header and the body
    are read. With a `Request` and a `Response` it takes about twice as long in here.
    """

    def __init__(self, function: Function[Any], trigger: Webhook) -> None:
        self._function_name = function.name
        self._provider = trigger.path
        self._scheme = SCHEMES[trigger.signature]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the provider."""
        services: Services = scope["app"].state.services
        registration = _registration(services, self._provider, scope["path_params"]["app"])
        if scope["method"] == "POST":
            await self._take(services, registration, scope, receive)
            empty = [(b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 200, "headers": empty})
            await send({"type": "http.response.body"})
        elif self._scheme.challenge:
            await _verify(Request(scope), registration)(scope, receive, send)
        else:
            raise Problem(405, "method-not-allowed", "this address takes POST alone")

    async def _take(
        self, services: Services, registration: OpenedApp, scope: Scope, receive: Receive
    ) -> None:
        body = await _body(receive)
        if not self._scheme.fits(header(scope, self._scheme.header), body, registration.secrets):
            raise Problem(401, "bad-signature", "the signature does not fit the body")
        name = registration.app.name
        intake = services.opened.dispatcher.intake
        await intake.take(self._function_name, name, self._scheme.sender(name, body), body)


def _registration(services: Services, provider: str, name: str) -> OpenedApp:
    if not services.registrations.known:
        raise _later("the registrations are not read yet")
    found = services.registrations.named(provider, name)
    if found is None:
        raise Problem(404, "not-found", "nothing is here")
    if found.sealed:
        raise _later("the secret of this registration is sealed")
    return found


def _verify(request: Request, registration: OpenedApp) -> Response:
    """Answer the provider's question whether this address is ours (hub.challenge)."""
    asked = request.query_params
    given = asked.get("hub.verify_token", "").encode()
    expected = (registration.verify or "").encode()
    same = hmac.compare_digest(given, expected)
    if asked.get("hub.mode") != "subscribe" or not expected or not same:
        raise Problem(403, "not-verified", "the verify token is not ours")
    return PlainTextResponse(asked.get("hub.challenge", ""))


async def _body(receive: Receive) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part = message.get("body", b"")
        size += len(part)
        if size > BODY_LIMIT_BYTES:
            raise Problem(
                413,
                "delivery-too-large",
                f"the body is over {BODY_LIMIT_BYTES:,} bytes",
                headers={"Connection": "close"},
            )
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _later(detail: str) -> Problem:
    """Have the provider post it again."""
    return Problem(503, "not-now", detail, headers={"Retry-After": "5"})
