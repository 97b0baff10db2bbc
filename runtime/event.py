"""The validated input of exactly one function."""

import difflib
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from runtime.errors import EventTooLarge, InvalidEvent, NewerEvent
from runtime.results import refuse_constants

EVENT_LIMIT_BYTES = 1_000_000
NEWER = frozenset({"extra_forbidden", "literal_error", "enum", "union_tag_invalid"})
"""What pydantic says of a field or a value that only a newer version knows, and of nothing else."""


class Event(BaseModel):
    """Base of all events. Frozen; unknown fields are refused, so a typo is seen at the door.

    Events evolve by adding fields with defaults. A removed field means a new event.
    """

    # NaN in a field without a type would be stored as null, unless it is written, and seen.
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, ser_json_inf_nan="constants"
    )


def encode(event: Event) -> str:
    """Return the JSON text that is stored.

    Raises:
        InvalidEvent: it holds what JSON cannot.
        EventTooLarge: over `EVENT_LIMIT_BYTES`; store the content and dispatch its id.
    """
    try:
        text = event.model_dump_json()
        refuse_constants(text)
    except ValueError as error:  # for instance half of a surrogate pair
        raise InvalidEvent(f"{type(event).__name__} has no JSON form: {error}") from None
    if len(text) > EVENT_LIMIT_BYTES // 4 and len(text.encode()) > EVENT_LIMIT_BYTES:
        raise EventTooLarge(
            f"{type(event).__name__} is {len(text.encode()):,} bytes; the limit is"
            f" {EVENT_LIMIT_BYTES:,}. Store the content and dispatch its id."
        )
    return text


def validate(event_type: type[Event], data: Any) -> Event:
    """Turn plain data (as parsed from JSON) into an event.

    Raises:
        InvalidEvent: names each field and what is wrong with it. Values are not repeated:
            they may be message text or a secret.
    """
    try:
        return event_type.model_validate(data)
    except ValidationError as error:
        raise _invalid(event_type, error) from None


def decode(event_type: type[Event], text: str) -> Event:
    """Turn the JSON text that was stored into an event.

    Raises:
        NewerEvent: it has fields, or values of an enum, that are unknown here: another version
            has stored it.
        InvalidEvent: as `validate`.
    """
    try:
        return event_type.model_validate_json(text)
    except ValidationError as error:
        found = _invalid(event_type, error)
        if all(item["type"] in NEWER for item in error.errors(include_url=False)):
            raise NewerEvent(str(found), found.problems) from None
        raise found from None


def _invalid(event_type: type[Event], error: ValidationError) -> InvalidEvent:
    known = list(event_type.model_fields)
    problems = [
        {"field": ".".join(map(str, item["loc"])), "message": _message(item, known)}
        for item in error.errors(include_url=False, include_input=False)
    ]
    text = "; ".join(f"{p['field'] or 'event'}: {p['message']}" for p in problems)
    return InvalidEvent(f"{event_type.__name__} does not accept this: {text}", problems)


def _message(item: ErrorDetails, known: list[str]) -> str:
    if item["type"] != "extra_forbidden":
        return item["msg"]
    near = difflib.get_close_matches(str(item["loc"][-1]), known, n=1)
    fields = f"fields: {', '.join(known)}" if known else "it has none"
    return f"no such field; did you mean {near[0]!r}?" if near else f"no such field; {fields}"
