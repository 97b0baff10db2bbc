"""Webhooks: each function with a Webhook trigger has `/webhooks/{path}/{app}`.

The signature is checked over the raw bytes before anything else; then the bytes are stored, and
only then the provider is told so. Whatever is well signed is taken: what is odd in it is a matter
for the function, and would otherwise be posted again for a week.
"""

import hmac
from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.problems import Problem
from gateway.services import Services
from runtime.function import Function
from runtime.registry import Registry
from runtime.signatures import SCHEMES, Scheme
from runtime.trigger import Webhook
from state.apps import OpenedApp

BODY_LIMIT_BYTES = 4_000_000
"""WhatsApp posts up to 3 MB (Cloud API, "Webhooks")."""


def routes(registry: Registry) -> list[Route]:
    """Return the addresses of every declared webhook."""
    return [
        Route(f"/webhooks/{trigger.path}/{{app}}", _endpoint(function, trigger), methods=METHODS)
        for function, trigger in _declared(registry)
    ]


METHODS = ["GET", "POST"]


def _declared(registry: Registry) -> Iterator[tuple[Function[Any], Webhook]]:
    for function in registry:
        for trigger in function.policy.trigger:
            if isinstance(trigger, Webhook):
                yield function, trigger


def _endpoint(function: Function[Any], trigger: Webhook) -> Any:
    scheme = SCHEMES[trigger.signature]

    async def webhook(request: Request) -> Response:
        services: Services = request.app.state.services
        registration = _registration(services, trigger.path, request.path_params["app"])
        if request.method == "POST":
            return await _take(request, services, function, scheme, registration)
        if not scheme.challenge:
            raise Problem(405, "method-not-allowed", "this address takes POST alone")
        return _verify(request, registration)

    return webhook


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


async def _take(
    request: Request,
    services: Services,
    function: Function[Any],
    scheme: Scheme,
    registration: OpenedApp,
) -> Response:
    body = await _body(request)
    if not scheme.fits(request.headers, body, registration.secrets):
        raise Problem(401, "bad-signature", "the signature does not fit the body")
    name = registration.app.name
    intake = services.opened.dispatcher.intake
    await intake.take(function.name, name, scheme.sender(name, body), body)
    return Response(status_code=200)


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > BODY_LIMIT_BYTES:
            raise Problem(
                413,
                "delivery-too-large",
                f"the body is over {BODY_LIMIT_BYTES:,} bytes",
                headers={"Connection": "close"},
            )
        parts.append(part)
    return b"".join(parts)


def _later(detail: str) -> Problem:
    """Have the provider post it again."""
    return Problem(503, "not-now", detail, headers={"Retry-After": "5"})
