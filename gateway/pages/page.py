"""Render a page: a frame around a typed content."""

import functools
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from gateway.assets import asset
from gateway.auth import is_https
from gateway.problems import Problem
from gateway.texts import COOKIE, LANGUAGES, Texts, language_of, texts
from state.sessions import Session

TEMPLATES = Path(__file__).parent.parent / "templates"
YEAR_SECONDS = 365 * 24 * 3600


@dataclass(frozen=True)
class Frame:
    """What surrounds every page."""

    title: str
    session: Session | None
    """Who looks at it; None: nobody is signed in."""
    languages: list[tuple[str, str, str]]
    """Code, name and address of this page in each language."""
    version: str
    place: str
    """First word of the address: which part of the pages this is."""
    notice: str
    """What the last action did; empty: nothing to tell."""
    notice_kind: str
    """`good` or `bad`."""


@functools.cache
def templates() -> jinja2.Environment:
    """Return the templates; loaded when the first page is asked for."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals["asset"] = asset
    environment.filters["moment"] = moment
    return environment


def render(
    request: Request,
    template: str,
    page: Any,
    *,
    title: str,
    status: int = 200,
    notice: tuple[str, str] = ("", ""),
    headers: dict[str, str] | None = None,
) -> Response:
    """Return a whole page.

    Args:
        request: whose language and session count.
        template: a file of `templates/`.
        page: its content, a dataclass.
        title: key of the page's name.
        status: of the response.
        notice: kind (`good` or `bad`) and text of what the last action did.
        headers: of the response.
    """
    words = texts(language_of(request))
    services = request.app.state.services
    frame = Frame(
        title=words(title),
        session=getattr(request.state, "session", None),
        languages=[
            (code, name, f"?{request.url.include_query_params(lang=code).query}")
            for code, name in LANGUAGES.items()
        ],
        version=services.settings.app_version,
        place=request.url.path.strip("/").partition("/")[0],
        notice=notice[1],
        notice_kind=notice[0],
    )
    html = part(words, template, page, frame=frame)
    response = HTMLResponse(html, status, {"Cache-Control": "no-store", **(headers or {})})
    if is_https(request):
        response.headers["Strict-Transport-Security"] = f"max-age={YEAR_SECONDS}"
    if request.query_params.get("lang") in LANGUAGES:
        response.set_cookie(
            COOKIE,
            words.language,
            max_age=YEAR_SECONDS,
            secure=is_https(request),
            httponly=True,
            samesite="lax",
        )
    return response


def part(words: Texts, template: str, page: Any, **more: Any) -> str:
    """Return the HTML of a template with its content."""
    return templates().get_template(template).render(t=words, page=page, **more)


@dataclass(frozen=True)
class ProblemPage:
    """A page that says what is wrong."""

    status: int
    title: str
    text: str
    request_id: str


async def problem_page(request: Request, problem: Problem, request_id: str) -> Response:
    """Return the page of a problem. Details of a bug are in the log, not here."""
    words = texts(language_of(request))
    kind = str(problem.status) if problem.status in (401, 403, 404, 429, 503) else "500"
    page = ProblemPage(
        problem.status, words(f"problem.{kind}"), words(f"problem.{kind}.text"), request_id
    )
    return render(
        request,
        "problem.html",
        page,
        title=f"problem.{kind}",
        status=problem.status,
        headers=problem.headers,
    )


def moment(at: datetime) -> Markup:
    """Return a time element: UTC to read without scripts; a script shows the viewer's own time."""
    return Markup('<time datetime="{}" hx-morph-skip-children>{}</time>').format(
        at.isoformat(timespec="milliseconds"), f"{at:%Y-%m-%d %H:%M:%S} UTC"
    )
