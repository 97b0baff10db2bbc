"""The page of oddities: what providers posted and nobody could take. Never what it says."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.auth import signed_in
from gateway.pages.page import render
from gateway.services import Services
from state.oddities import Oddity, oddities

PAGE = 50
DIGITS = 18


@dataclass(frozen=True)
class OdditiesPage:
    """The list, as of one moment."""

    rows: list[Oddity]
    older: str | None
    """The address of the next page; None: this is the last."""


@signed_in
async def show_oddities(request: Request) -> Response:
    """Show the newest oddities."""
    services: Services = request.app.state.services
    asked = request.query_params.get("before", "")
    known = asked.isascii() and asked.isdigit() and len(asked) <= DIGITS
    async with services.opened.database.engine() as connection:
        found = await oddities(connection, PAGE + 1, before=int(asked) if known else None)
    more = len(found) > PAGE
    older = f"/oddities?before={found[PAGE - 1].oddity_id}" if more else None
    return render(request, "oddities.html", OdditiesPage(found[:PAGE], older), title="oddities")


routes = [Route("/oddities", show_oddities, methods=["GET"])]
