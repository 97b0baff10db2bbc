"""The pages of invocations: the list, and one of them."""

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gateway.auth import signed_in
from gateway.pages.board import Board, Boards, Row
from gateway.pages.decisions import notice_of, number_of
from gateway.pages.filter import Filter
from gateway.pages.page import render
from gateway.problems import Problem
from gateway.services import Services
from state.ids import public_id
from state.invocations import Failure, InvocationDetail, Invocations, Step

SHOWN_LETTERS = 20_000


@dataclass(frozen=True)
class ListPage:
    """The list, with what stays still while the rest moves."""

    board: Board
    live: str
    """Address of the stream that keeps it fresh."""
    functions: list[str]


@dataclass(frozen=True)
class Detail:
    """One invocation, whole."""

    row: Row
    event: str
    result: str | None
    error: str
    failures: list[Failure]
    steps: list[Step]
    summary: str
    """What the function does."""


class DetailPage(NamedTuple):
    """One invocation, and the stream that keeps it fresh."""

    detail: Detail
    live: str


async def home(request: Request) -> Response:
    """Lead to the list."""
    return RedirectResponse("/invocations", 303)


@signed_in
async def show_list(request: Request) -> Response:
    """Show the newest invocations."""
    services: Services = request.app.state.services
    boards: Boards = request.app.state.boards
    wanted = Filter.of(request.query_params)
    cursor = await services.opened.feed.head()  # before reading: what comes after is told live
    page = ListPage(
        await boards.read(wanted),
        _live(wanted.address("/live"), cursor),
        list(services.registry.functions),
    )
    return render(request, "invocations.html", page, title="invocations", notice=notice_of(request))


@signed_in
async def show_one(request: Request) -> Response:
    """Show one invocation with its event, attempts and steps."""
    services: Services = request.app.state.services
    cursor = await services.opened.feed.head()
    number = number_of(request)
    detail = await detail_of(services, request.app.state.boards, number)
    if detail is None:
        raise Problem(404, "unknown-invocation", "there is no such invocation")
    page = DetailPage(detail, _live(f"/live?invocation={public_id(number)}", cursor))
    return render(request, "invocation.html", page, title="invocation", notice=notice_of(request))


routes = [
    Route("/", home, methods=["GET"]),
    Route("/invocations", show_list, methods=["GET"]),
    Route("/invocations/{id}", show_one, methods=["GET"]),
]


async def detail_of(services: Services, boards: Boards, number: int) -> Detail | None:
    """Read one invocation; None: there is none."""
    found = await Invocations(services.opened.database).get(number)
    if found is None:
        return None
    function = services.registry.functions.get(found.function)
    return Detail(
        row=await boards.row(found),
        event=_pretty(found.event),
        result=_pretty(found.result) if found.result is not None else None,
        error=_error(found),
        failures=found.failures,
        steps=[each._replace(result=each.result and _pretty(each.result)) for each in found.steps],
        summary=function.summary if function else "",
    )


def _live(address: str, cursor: str) -> str:
    return f"{address}{'&' if '?' in address else '?'}{urlencode({'after': cursor})}"


def _error(found: InvocationDetail) -> str:
    return (found.error or "")[:SHOWN_LETTERS] if found.state != "done" else ""


def _pretty(text: str) -> str:
    """Return JSON to read; long content is cut."""
    with suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    return text if len(text) <= SHOWN_LETTERS else text[:SHOWN_LETTERS] + " …"
