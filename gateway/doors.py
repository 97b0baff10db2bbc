"""Which paths are private, and who may pass.

Caddy shows the private paths on its private site alone; behind that this still asks for
INTERNAL_API_TOKEN, whatever the path, before anybody learns whether it exists. One path is for
Caddy itself, which holds no secret of ours.
"""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.problems import Problem
from gateway.tokens import Tokens

PRIVATE = ("/functions", "/internal", "/metrics", "/readyz")
TLS_ASK = "/internal/tls-ask"
"""Asked by Caddy without a token: whether a name is known. It tells nothing else."""
DOOR = "nexus-door"
"""Caddy's header: through which of its sites a request came."""
BELOW = tuple(f"{prefix}/" for prefix in PRIVATE)


def is_private(path: str) -> bool:
    """Say whether a path lies behind the private door.

    >>> is_private("/functions/hello"), is_private("/functions"), is_private("/functionsx")
    (True, True, False)
    """
    return path.startswith(BELOW) or path in PRIVATE


class PrivateDoor:
    """Ask for the bearer on every private path."""

    def __init__(self, app: ASGIApp, tokens: Tokens) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http" and is_private(scope["path"]):
            refusal = self._refusal(scope["path"], Headers(scope=scope))
            if refusal is not None:
                await refusal.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, path: str, headers: Headers) -> Problem | None:
        if headers.get(DOOR) == "public":
            return Problem(404, "not-found", "nothing is here")
        if path == TLS_ASK:
            return None
        scheme, _, presented = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._tokens.fits(presented.strip()):
            return None
        return Problem(
            401,
            "unauthorized",
            "a private address needs a token" if not presented else "this token is not ours",
            remedy="Send Authorization: Bearer with INTERNAL_API_TOKEN.",
            headers={"WWW-Authenticate": 'Bearer realm="nexus"'},
        )
