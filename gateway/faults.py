"""Turn what went wrong into an answer: problem details for programs, a page for people."""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway.problems import Problem, problem_of
from runtime.errors import RuntimeFault
from state.errors import StateFault

FORWARDED = ("allow", "retry-after", "www-authenticate")


def problem_from(fault: Exception) -> Problem:
    """Return the problem that an exception is to the caller; what is not known is a bug: 500."""
    if isinstance(fault, HTTPException):
        headers = {
            name: value
            for name, value in (fault.headers or {}).items()
            if name.lower() in FORWARDED
        }
        if fault.status_code == 404:
            return Problem(404, "not-found", "nothing is here", headers=headers)
        if fault.status_code == 405:
            return Problem(405, "method-not-allowed", "not with this method", headers=headers)
        return Problem(fault.status_code, "refused", "the request was refused", headers=headers)
    return problem_of(fault) or Problem(
        500,
        "bug",
        "something went wrong here; it was logged",
        remedy="Quote the request_id when you report it.",
    )


async def answer_fault(request: Request, fault: Exception) -> Response:
    """Answer a request that failed."""
    problem = problem_from(fault)
    request_id = getattr(request.state, "request_id", "")
    if _wants_page(request):
        from gateway.pages.page import problem_page  # pages are loaded when one is asked for

        return await problem_page(request, problem, request_id)
    return problem.response(request_id)


HANDLERS: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
    each: answer_fault for each in (HTTPException, Problem, RuntimeFault, StateFault)
}


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")
