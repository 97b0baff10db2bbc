"""Who may see the pages: a session cookie, a token on every form, and an origin that is ours."""

import functools
import hmac
from collections.abc import Awaitable, Callable
from urllib.parse import quote, urlsplit

from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response

from gateway.doors import DOOR
from gateway.problems import Problem
from gateway.services import Services
from gateway.tokens import Tokens
from runtime.settings import Settings
from state.sessions import Session, Sessions

COOKIE = "nexus"
ABSOLUTE_SECONDS = 7 * 24 * 3600
SAFE = ("GET", "HEAD")

Endpoint = Callable[[Request], Awaitable[Response]]


def signed_in(endpoint: Endpoint) -> Endpoint:
    """Let in who has a session; anything but reading also needs the form's token."""

    @functools.wraps(endpoint)
    async def guarded(request: Request) -> Response:
        session = await session_of(request)
        if session is None:
            return _to_login(request)
        if request.method not in SAFE:
            require_own_origin(request)
            form = await request.form(max_files=0, max_fields=20)
            given = form.get("csrf") or request.headers.get("x-csrf-token", "")
            if not hmac.compare_digest(str(given).encode(), session.csrf.encode()):
                raise Problem(
                    403,
                    "stale-form",
                    "this form is from another session",
                    remedy="Go back, reload the page and try again.",
                )
        request.state.session = session
        return await endpoint(request)

    return guarded


async def session_of(request: HTTPConnection) -> Session | None:
    """Return the session of the request's cookie; None: nobody is signed in."""
    secret = request.cookies.get(cookie_name(request))
    if not secret:
        return None
    services: Services = request.app.state.services
    admin: Tokens = request.app.state.admin
    return await Sessions(services.opened.database).find(secret, admin.fingerprints())


def require_own_origin(request: Request) -> None:
    """Refuse a form that another site sent.

    Raises:
        Problem: 403. Every browser names the origin of a POST.
    """
    origin = request.headers.get("origin", "")
    site = request.headers.get("sec-fetch-site", "same-origin")
    if site != "same-origin" or urlsplit(origin).netloc != request.headers.get("host"):
        raise Problem(
            403,
            "foreign-form",
            "this form was not sent by our own page",
            remedy="Open the page itself and use its form.",
        )


def set_cookie(request: HTTPConnection, response: Response, secret: str) -> None:
    """Hand the session to the browser, out of reach of scripts."""
    response.set_cookie(
        cookie_name(request),
        secret,
        max_age=ABSOLUTE_SECONDS,
        path="/",
        secure=is_https(request),
        httponly=True,
        samesite="lax",
    )


def clear_cookie(request: HTTPConnection, response: Response) -> None:
    """Take the session from the browser."""
    response.delete_cookie(
        cookie_name(request), secure=is_https(request), httponly=True, samesite="lax"
    )


def cookie_name(request: HTTPConnection) -> str:
    """Return the cookie's name: on https one that no other host can set."""
    return f"__Host-{COOKIE}" if is_https(request) else COOKIE


def is_https(request: HTTPConnection) -> bool:
    """Say whether the browser speaks https: as Caddy says, or as a platform in front of it does."""
    if request.headers.get("x-forwarded-proto") == "https":
        return True
    settings: Settings = request.app.state.services.settings
    return settings.production and (settings.api_base_url or "").startswith("https:")


def address_of(request: HTTPConnection) -> str:
    """Return who asks: as Caddy says, when it was Caddy that passed the request on."""
    peer = request.client.host if request.client else ""
    return request.headers.get("x-real-ip", peer) if DOOR in request.headers else peer


def own_path(text: str) -> str:
    """Return a path of ours to go on to; anything that could lead elsewhere leads home.

    >>> own_path("/invocations?state=dead"), own_path("//evil.test"), own_path("https://evil.test")
    ('/invocations?state=dead', '/invocations', '/invocations')
    """
    odd = "\\" in text or any(ord(letter) <= 32 for letter in text)
    known = text == "/invocations" or text.startswith(("/invocations?", "/invocations/"))
    return text if known and not odd else "/invocations"


def _to_login(request: Request) -> Response:
    if request.method not in SAFE or "text/html" not in request.headers.get("accept", ""):
        raise Problem(401, "signed-out", "nobody is signed in", remedy="Sign in at /login.")
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/login?next={quote(own_path(wanted), safe='')}", 303)
