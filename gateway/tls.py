"""Caddy asks here, in a handshake for a name it has no certificate for, whether to get one."""

import time
from collections import deque

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.doors import TLS_ASK
from gateway.problems import Problem
from gateway.services import Services
from runtime.host.caddy import own_hosts
from state.rules.domain_names import above

NEW_NAMES = 20
PERIOD_SECONDS = 3600.0


class Invented:
    """Names below wildcards, of which anybody can invent any number: few get a certificate an hour.

    Without that, a stranger could use up what an authority signs for the whole installation.
    """

    def __init__(self, limit: int = NEW_NAMES, period_seconds: float = PERIOD_SECONDS) -> None:
        self._limit = limit
        self._period_seconds = period_seconds
        self._asked: dict[str, deque[tuple[float, str]]] = {}

    def admit(self, host: str, now: float) -> bool:
        """Say whether this name is among the first few of its wildcard within the period."""
        asked = self._asked.setdefault(above(host), deque())
        while asked and now - asked[0][0] > self._period_seconds:
            asked.popleft()
        if any(host == each for _, each in asked):
            return True
        if len(asked) >= self._limit:
            return False
        asked.append((now, host))
        return True


async def ask(request: Request) -> Response:
    """Answer 200 for our own hosts and shops' domains, from memory; 404 for strangers."""
    services: Services = request.app.state.services
    invented: Invented = request.app.state.invented
    host = request.query_params.get("domain", "").lower().removesuffix(".")
    app, api = own_hosts(services.settings, {})
    if host and host in {*app, *api}:
        return Response(status_code=200)
    names = services.domains.names
    if names is None:
        raise Problem(503, "not-now", "the domains are not read yet", headers={"Retry-After": "2"})
    if not services.domains.cover(host):
        raise Problem(404, "not-found", "no shop has this domain")
    if host not in names and not invented.admit(host, time.monotonic()):
        raise Problem(429, "too-many-names", "too many new names below this wildcard")
    return Response(status_code=200)


private = [Route(TLS_ASK, ask, methods=["GET"])]
