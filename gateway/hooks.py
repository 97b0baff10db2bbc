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
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.faults import answer_fault
from gateway.headers import header
from gateway.problems import Problem
from gateway.services import Services
from runtime.errors import RuntimeFault
from runtime.function import Function
from runtime.registry import Registry
from runtime.signatures import SCHEMES
from runtime.trigger import Webhook
from state.apps import OpenedApp
from state.errors import StateFault

BODY_LIMIT_BYTES = 4_000_000
"""WhatsApp posts up to 3 MB (Cloud API, "Webhooks")."""


class Hooks:
    """The way to the webhooks, before all other addresses: most requests come in here.

    It speaks ASGI itself: of each request only one header and the body are read. With a route, a
    `Request` and a `Response` it takes more than twice as long in here.
    """

    def __init__(self, app: ASGIApp, registry: Registry, services: Services) -> None:
        """Stand before `app`, which gets every request that is for no webhook."""
        self._app = app
        self._services = services
        self._hooks = {
            f"/webhooks/{trigger.path}": Hook(function, trigger)
            for function, trigger in _declared(registry)
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the provider, or pass the request on."""
        hook, name = None, ""
        if scope["type"] == "http":
            before, _, name = scope["path"].rpartition("/")
            hook = self._hooks.get(before)
        if hook is None or not name:
            await self._app(scope, receive, send)
            return
        try:
            await hook.answer(self._services, name, scope, receive, send)
        except (Problem, RuntimeFault, StateFault) as fault:
            refusal = await answer_fault(Request(scope), fault)
            await refusal(scope, receive, send)


def _declared(registry: Registry) -> Iterator[tuple[Function[Any], Webhook]]:
    for function in registry:
        for trigger in function.policy.trigger:
            if isinstance(trigger, Webhook):
                yield function, trigger


class Hook:
    """What answers at the addresses of one webhook."""

    def __init__(self, function: Function[Any], trigger: Webhook) -> None:
        self._function_name = function.name
        self._provider = trigger.path
        self._scheme = SCHEMES[trigger.signature]
        self._methods = ("GET", "HEAD", "POST") if self._scheme.challenge else ("POST",)

    async def answer(
        self, services: Services, name: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer the provider at the address of the registration with this name.

        Raises:
            Problem: it is refused.
            RuntimeFault: it could not be stored.
        """
        if scope["method"] not in self._methods:
            raise Problem(
                405,
                "method-not-allowed",
                "not with this method",
                headers={"Allow": ", ".join(self._methods)},
            )
        registration = _registration(services, self._provider, name)
        if scope["method"] == "POST":
            await self._take(services, registration, scope, receive)
            empty = [(b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 200, "headers": empty})
            await send({"type": "http.response.body"})
        else:
            await _verify(Request(scope), registration)(scope, receive, send)

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
