"""Another Nexus host has stored work for functions that run here: ring their bells.

Safe to repeat: a bell says "look now", and who looks and finds nothing has lost nothing.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.bodies import json_body
from gateway.problems import Problem
from gateway.services import Services
from runtime.neighbour import PATH
from runtime.placement import placed

FUNCTIONS_AT_MOST = 100


class Bells(BaseModel):
    """How many more invocations each function has; 0 only asks whether it runs here."""

    model_config = ConfigDict(extra="forbid")

    bells: dict[str, int] = Field(max_length=FUNCTIONS_AT_MOST)


async def ring(request: Request) -> Response:
    """Ring here for what another host has stored; 409 names functions that do not run here.

    A bell that came from outside never goes on to a third host, so none can go in a circle.
    """
    services: Services = request.app.state.services
    bells = _bells(await json_body(request))
    away = {each.function for each in placed(services.settings, services.registry)}
    here = services.registry.functions.keys() - away
    dispatcher = services.opened.dispatcher
    for name, count in bells.items():
        if name in here and count > 0:
            dispatcher.ring(name, count)
    if missing := sorted(bells.keys() - here):
        raise Problem(
            409,
            "not-run-here",
            f"{', '.join(missing)[:200]}: unknown here, or placed on another host from here, too",
            remedy="Unset its ..._SERVICE_URL on one of the hosts, or bring both to one version.",
        )
    return Response(status_code=204)


private = [Route(PATH, ring, methods=["POST"])]


def _bells(data: Any) -> dict[str, int]:
    try:
        return Bells.model_validate(data, strict=True).bells
    except ValidationError:
        raise Problem(
            422,
            "invalid-bells",
            "the body is not bells of functions",
            remedy='Send {"bells": {"agent_run": 1}}: functions, and how much more each has to do.',
        ) from None
