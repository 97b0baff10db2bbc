"""Caddy asks here, in a handshake for a name it has no certificate for, whether to get one."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.doors import TLS_ASK
from gateway.problems import Problem
from gateway.services import Services
from runtime.host.caddy import own_hosts


async def ask(request: Request) -> Response:
    """Answer 200 for our own hosts and shops' domains, from memory; 404 for strangers."""
    services: Services = request.app.state.services
    host = request.query_params.get("domain", "").lower().removesuffix(".")
    app, api = own_hosts(services.settings, {})
    if host and host in {*app, *api}:
        return Response(status_code=200)
    if services.domains.names is None:
        raise Problem(503, "not-now", "the domains are not read yet", headers={"Retry-After": "2"})
    if not services.domains.cover(host):
        raise Problem(404, "not-found", "no shop has this domain")
    return Response(status_code=200)


private = [Route(TLS_ASK, ask, methods=["GET"])]
