"""What is wrong with a request, as RFC 9457 problem details: what, why, and what to do."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

from runtime.errors import EventTooLarge, InvalidEvent, KeyConflict, ServerAway, UnknownFunction
from state.errors import DatabaseAway

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = "2"


class Problem(Exception):
    """A request cannot be served as it is.

    Args:
        status: the HTTP status.
        kind: the last part of `type`, for programs; stays the same for ever.
        detail: what happened here, in one sentence.
        remedy: what the caller can do about it.
        headers: of the response.
        members: more members of the document.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        remedy: str = "",
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.remedy = remedy
        self.headers = dict(headers or {})
        self.members = members

    def document(self) -> dict[str, Any]:
        """Return the members of the problem document."""
        said = {
            "type": f"urn:nexus:problem:{self.kind}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.remedy:
            said["remedy"] = self.remedy
        return {**said, **self.members}

    def response(self, request_id: str = "") -> JSONResponse:
        """Return the document as a response."""
        document = self.document()
        if request_id:
            document["request_id"] = request_id
        headers = {"Cache-Control": "no-store", **self.headers}
        return JSONResponse(document, self.status, headers, MEDIA_TYPE)


def problem_of(fault: Exception) -> Problem | None:
    """Return the problem that a fault of the layers below is to a caller; None: it is a bug."""
    match fault:
        case Problem():
            return fault
        case UnknownFunction():
            return Problem(
                404, "unknown-function", str(fault), remedy="GET /api/openapi.json lists all."
            )
        case InvalidEvent():
            return Problem(
                422,
                "invalid-event",
                str(fault),
                remedy="Correct the fields in `errors`; GET /api/openapi.json has the schema.",
                errors=fault.problems,
            )
        case EventTooLarge():
            return Problem(
                413,
                "event-too-large",
                str(fault),
                remedy="Store the content elsewhere and send its id.",
            )
        case KeyConflict():
            return Problem(
                409,
                "key-conflict",
                str(fault),
                remedy="Repeat exactly the first request, or take a new Idempotency-Key.",
            )
        case ServerAway() | DatabaseAway():
            return away()
        case _:
            return None


def away() -> Problem:
    """Return what is said while Postgres does not answer."""
    return Problem(
        503,
        "database-away",
        "Postgres does not answer at the moment",
        remedy="Repeat the request; with an Idempotency-Key it is then done once.",
        headers={"Retry-After": RETRY_AFTER_SECONDS},
    )
