"""What a caller of the function API sends: a JSON body of limited size, and a key."""

import re
from typing import Any

import pydantic_core
from starlette.requests import Request

from gateway.problems import Problem
from runtime.event import EVENT_LIMIT_BYTES

KEY = re.compile(r"[!-~]{1,190}")


def key_of(request: Request) -> str | None:
    """Return the idempotency key, apart from keys that functions make; None: there is none.

    Raises:
        Problem: 400, it is malformed.
    """
    value = request.headers.get("idempotency-key")
    if value is None:
        return None
    if not KEY.fullmatch(value):
        raise Problem(
            400,
            "invalid-key",
            "Idempotency-Key has 1 to 190 visible ASCII characters, without spaces",
            remedy="A UUID is a good key.",
        )
    return f"api:{value}"


async def json_body(request: Request) -> Any:
    """Return the parsed body; none at all is an event without fields.

    Raises:
        Problem: 400, 413 or 415.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await _bytes_of(request)
    if not body and not media_type:
        return {}
    if media_type != "application/json":
        raise Problem(
            415,
            "not-json",
            "the body's media type is not application/json",
            remedy="Send JSON with Content-Type: application/json.",
            headers={"Accept-Post": "application/json"},
        )
    try:
        return pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError as error:
        reason = str(error).partition("\n")[0]
        raise Problem(
            400, "malformed-json", f"the body is not JSON: {reason}", remedy="Send valid JSON."
        ) from None


async def _bytes_of(request: Request) -> bytes:
    parts, size = [], 0
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > EVENT_LIMIT_BYTES:
        raise _too_large()
    async for part in request.stream():
        size += len(part)
        if size > EVENT_LIMIT_BYTES:
            raise _too_large()
        parts.append(part)
    return b"".join(parts)


def _too_large() -> Problem:
    return Problem(
        413,
        "event-too-large",
        f"the body is over {EVENT_LIMIT_BYTES:,} bytes",
        remedy="Store the content elsewhere and send its id.",
        headers={"Connection": "close"},
    )
