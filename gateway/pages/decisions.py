"""What people do about invocations and alerts: asked first, then done, then told."""

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gateway.auth import own_path, signed_in
from gateway.pages.page import render
from gateway.problems import Problem
from gateway.services import Services
from gateway.texts import language_of, texts
from runtime.errors import ReplayRefused
from runtime.replays import Replay
from state.alerts import Alerts
from state.ids import parse_id, public_id
from state.invocations import Invocations

GOOD = ("cancelled", "cancelling", "replayed", "resolved")
BAD = ("finished", "not_finished", "done", "not_open", "unknown", "step_refused")


@dataclass(frozen=True)
class ConfirmPage:
    """A question before something is done. Scripts ask it in place."""

    verb: str
    id: str
    function: str
    back: str
    from_step: str
    """Replay: where to begin; empty: with what is not done."""


@signed_in
async def cancel(request: Request) -> Response:
    """Cancel an invocation, once confirmed."""
    return await _decide(request, "cancel")


@signed_in
async def replay(request: Request) -> Response:
    """Run an invocation again, once confirmed."""
    return await _decide(request, "replay")


@signed_in
async def resolve(request: Request) -> Response:
    """Mark an alert as dealt with."""
    services: Services = request.app.state.services
    number = request.path_params["number"]
    actor = request.state.session.name
    done = await Alerts(services.opened.database).resolve(number, actor=actor)
    return _done(_came_from(request), "resolved" if done else "not_open")


routes = [
    Route("/invocations/{id}/cancel", cancel, methods=["POST"]),
    Route("/invocations/{id}/replay", replay, methods=["POST"]),
    Route("/alerts/{number:int}/resolve", resolve, methods=["POST"]),
]


def notice_of(request: Request) -> tuple[str, str]:
    """Return kind and text of what the last action did, as its redirect said."""
    said = request.query_params.get("said", "")
    if said not in GOOD + BAD:
        return "", ""
    return "good" if said in GOOD else "bad", texts(language_of(request))(f"said.{said}")


def number_of(request: Request) -> int:
    """Return the number of the invocation that the address names.

    Raises:
        Problem: 404, it names none.
    """
    try:
        return parse_id(request.path_params["id"])
    except ValueError:
        raise Problem(404, "unknown-invocation", "there is no such invocation") from None


async def _decide(request: Request, verb: str) -> Response:
    services: Services = request.app.state.services
    number = number_of(request)
    invocations = Invocations(services.opened.database)
    form = await request.form()
    back = _came_from(request, str(form.get("back", "")))
    from_step = str(form.get("from_step", "")) if verb == "replay" else ""
    if form.get("sure") != "yes":
        found = await invocations.many([number])
        if not found:
            raise Problem(404, "unknown-invocation", "there is no such invocation")
        page = ConfirmPage(verb, public_id(number), found[0].function, back, from_step)
        return render(request, "confirm.html", page, title=f"{verb}.ask")
    actor = request.state.session.name
    if from_step:
        how = Replay(from_step=from_step)
        try:
            await services.opened.dispatcher.replay(number, how, actor=actor)
        except ReplayRefused:
            return _done(back, "step_refused")
        return _done(back, "replayed")
    decide = invocations.cancel if verb == "cancel" else invocations.replay
    return _done(back, await decide(number, actor=actor))


def _came_from(request: Request, back: str = "") -> str:
    """Return the page of ours on which the form was."""
    parts = urlsplit(back or request.headers.get("referer", ""))
    return own_path(f"{parts.path}?{parts.query}" if parts.query else parts.path)


def _done(address: str, said: str) -> Response:
    """Lead back to a page, which tells what was done."""
    parts = urlsplit(address)
    query = [pair for pair in parse_qsl(parts.query) if pair[0] != "said"]
    return RedirectResponse(f"{parts.path}?{urlencode([*query, ('said', said)])}", 303)
