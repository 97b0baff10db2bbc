"""The private function API: `POST /functions/{name}`, and where to ask how it went."""

import asyncio
from typing import Any

import pydantic_core
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.bodies import json_body, key_of
from gateway.moment import moment_of
from gateway.prefer import Preference, preference
from gateway.problems import Problem
from gateway.services import Opened, Services
from gateway.streams import BEGINNING, check_stream, stream, wants_stream
from runtime.dispatch import Outcome
from state.ids import parse_id, public_id
from state.invocations import InvocationDetail, Invocations
from state.shops import INSTALLATION, shop_named

LOOK_SECONDS = 5.0
"""A waiting request looks this often whether the gateway is about to stop."""


async def invoke(request: Request) -> Response:
    """Store the event; answer with its result, its stream, or with where to ask for it."""
    services: Services = request.app.state.services
    function = services.registry.named(request.path_params["name"])
    moment = moment_of(request.headers)
    wanted = preference(request.headers.getlist("prefer"))
    if moment.later and not wanted.applied:  # nobody who says "later" waits for it unasked
        wanted = Preference(respond_async=True, wait_seconds=0.0, applied="")
    key = key_of(request)
    data = await json_body(request)
    opened = services.opened
    tenant = await _tenant(request, opened)
    streams = wants_stream(request)
    after = check_stream(request) if streams else BEGINNING
    waits = wanted.wait_seconds > 0 and not streams
    receipt = await opened.dispatcher.dispatch_named(
        function.name,
        data,
        tenant=tenant,
        key=key,
        delay_seconds=moment.delay_seconds,
        at=moment.at,
        wait=waits,
        follow=streams,
    )
    name = public_id(receipt.id)
    headers = {
        "Location": f"/functions/{function.name}/invocations/{name}",
        "Nexus-Invocation": name,
        "Cache-Control": "no-store",
    }
    if wanted.applied:
        headers["Preference-Applied"] = wanted.applied
    outcome: Outcome | None = None
    if receipt.repeated:
        headers["Idempotent-Replayed"] = "true"
    if streams:
        return stream(services, receipt.id, after, headers)
    if receipt.repeated:
        outcome = await opened.dispatcher.outcome(receipt.id, 0)
    if outcome is None and wanted.wait_seconds > 0:
        outcome = await _wait(services, opened, receipt.id, wanted.wait_seconds)
    return _answer(name, outcome, wanted, headers)


async def look(request: Request) -> Response:
    """Tell how an invocation does; with `Prefer: wait=N`, once it has ended or N seconds later.

    Who accepts server-sent events gets its stream instead.
    """
    services: Services = request.app.state.services
    function = services.registry.named(request.path_params["name"])
    text = request.path_params["id"]
    try:
        number = parse_id(text)
    except ValueError as error:
        raise _unknown(str(error)) from None
    opened = services.opened
    invocations = Invocations(opened.database)
    found = await invocations.get(number)
    tenant = await _tenant(request, opened) if "nexus-shop" in request.headers else None
    known = {function.name, *function.policy.aliases}
    if found is None or found.function not in known or tenant not in (None, found.tenant):
        raise _unknown(f"{function.name} has no invocation {text[:40]!r}")
    if wants_stream(request):
        return stream(services, number, check_stream(request), {})
    wanted = preference(request.headers.getlist("prefer"))
    if found.done_at is None and "wait=" in wanted.applied:
        await _wait(services, opened, number, wanted.wait_seconds)
        found = await invocations.get(number) or found
    headers = {"Cache-Control": "no-store"}
    if found.done_at is None:
        headers["Retry-After"] = "1"
    return JSONResponse(_shown(found), headers=headers)


routes = [
    Route("/functions/{name}", invoke, methods=["POST"]),
    Route("/functions/{name}/invocations/{id}", look, methods=["GET"]),
]


def _answer(
    name: str, outcome: Outcome | None, wanted: Preference, headers: dict[str, str]
) -> Response:
    if outcome is None and wanted.respond_async:
        accepted = {"id": name, "state": "waiting", "location": headers["Location"]}
        return JSONResponse(accepted, 202, headers)
    if outcome is None:
        raise Problem(
            504,
            "not-finished",
            f"{name} has not finished within {wanted.wait_seconds:.0f} s; it goes on",
            remedy=f"GET {headers['Location']}; or wait longer with Prefer: wait=300.",
            headers=headers,
            invocation=name,
        )
    if outcome.state == "done":
        return Response(outcome.result or "null", 200, headers, "application/json")
    raise Problem(
        424,
        f"invocation-{outcome.state}",
        f"{name} ended as {outcome.state}: {outcome.error}",
        remedy=f"See every attempt: ./nexus invocation {name}. Again: ./nexus replay {name}.",
        headers=headers,
        invocation=name,
        state=outcome.state,
    )


async def _wait(services: Services, opened: Opened, number: int, seconds: float) -> Outcome | None:
    """Wait for an outcome, less long when the gateway is about to stop."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while True:
        left = services.stopping.shortened(until) - loop.time()
        outcome = await opened.dispatcher.outcome(number, max(0.0, min(LOOK_SECONDS, left)))
        if outcome is not None or left <= LOOK_SECONDS:
            return outcome


async def _tenant(request: Request, opened: Opened) -> int:
    name = request.headers.get("nexus-shop")
    if name is None:
        return INSTALLATION
    shop = await shop_named(opened.database, name)
    if shop is None:
        raise Problem(
            404,
            "unknown-shop",
            f"no shop is named {name[:63]!r}",
            remedy="Correct the Nexus-Shop header, or leave it out for the installation itself.",
        )
    return shop.tenant


def _unknown(detail: str) -> Problem:
    return Problem(404, "unknown-invocation", detail, remedy="Take the id from Nexus-Invocation.")


def _shown(found: InvocationDetail) -> dict[str, Any]:
    result = pydantic_core.from_json(found.result) if found.result is not None else None
    return {
        "id": public_id(found.id),
        "function": found.function,
        "state": found.state,
        "created_at": found.created_at.isoformat(),
        "done_at": found.done_at.isoformat() if found.done_at else None,
        "attempts": found.attempts,
        "result": result,
        "error": found.error,
    }
