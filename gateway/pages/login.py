"""Sign in with ADMIN_TOKEN or a one-time link; sign out."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gateway.auth import (
    address_of,
    clear_cookie,
    cookie_name,
    own_path,
    require_own_origin,
    session_of,
    set_cookie,
    signed_in,
)
from gateway.pages.page import render
from gateway.services import Services
from gateway.throttle import Throttle
from gateway.tokens import Tokens
from runtime.logs import Log
from state.sessions import Sessions

log = Log("login")


@dataclass(frozen=True)
class LoginPage:
    """The form."""

    code: str
    """A one-time code from the address, to be confirmed; empty: ask for the token."""
    next: str
    """Where to go afterwards."""
    problem: str
    """Key of what went wrong; empty: nothing."""
    wait_minutes: int = 0
    """After how long the next attempt is looked at."""


async def show(request: Request) -> Response:
    """Show the form. A code in the address only shows a button: link previews do not use it up."""
    goal = own_path(request.query_params.get("next", ""))
    code = request.query_params.get("code", "")[:200]
    if not code and await session_of(request) is not None:
        return RedirectResponse(goal, 303)
    return render(request, "login.html", LoginPage(code, goal, ""), title="login")


async def sign_in(request: Request) -> Response:
    """Open a session for who knows the token or holds an unused code."""
    require_own_origin(request)
    services: Services = request.app.state.services
    admin: Tokens = request.app.state.admin
    throttle: Throttle = request.app.state.throttle
    form = await request.form(max_files=0, max_fields=10)
    goal = own_path(str(form.get("next", "")))
    code, token = str(form.get("code", ""))[:200], str(form.get("token", ""))[:1000]
    address = address_of(request)
    rest = throttle.attempt(address)
    if rest > 0:
        log.warning("login throttled")
        page = LoginPage("", goal, "login.throttled", int(rest // 60) + 1)
        headers = {"Retry-After": str(int(rest) + 1)}
        return render(request, "login.html", page, title="login", status=429, headers=headers)
    sessions = Sessions(services.opened.database)
    if code:
        fingerprint = admin.newest if await sessions.take_code(code) else None
    else:
        fingerprint = admin.fits(token.strip())
    if fingerprint is None:
        log.warning("login refused", by="code" if code else "token")
        wrong = "login.code_used" if code else "login.wrong"
        page = LoginPage("", goal, wrong)
        return render(request, "login.html", page, title="login", status=401)
    throttle.forgive(address)
    response = RedirectResponse(goal, 303)
    secret = await sessions.open(fingerprint, by="code" if code else "token")
    set_cookie(request, response, secret)
    log.info("login", by="code" if code else "token")
    return response


@signed_in
async def sign_out(request: Request) -> Response:
    """End the session here and in the database."""
    services: Services = request.app.state.services
    await Sessions(services.opened.database).close(request.cookies[cookie_name(request)])
    response = RedirectResponse("/login", 303)
    clear_cookie(request, response)
    return response


routes = [
    Route("/login", show, methods=["GET"]),
    Route("/login", sign_in, methods=["POST"]),
    Route("/logout", sign_out, methods=["POST"]),
]
