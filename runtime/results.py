"""JSON of what is given away: events, results, answers of steps, chunks of a stream."""

import json
from typing import Any, NoReturn

from pydantic_core import PydanticSerializationError, to_json


def json_of(value: Any) -> bytes:
    """Return the JSON of a value, in UTF-8.

    Raises:
        ValueError: it has none; names the type, or the number as `refuse_constants` does.
    """
    try:
        body = to_json(value)
    except PydanticSerializationError as error:
        raise ValueError(str(error)) from None
    refuse_constants(body)
    return body


def refuse_constants(text: str | bytes) -> None:
    """Refuse JSON with what is no number there (RFC 8259, section 6).

    Raises:
        ValueError: NaN or an infinity, outside of a text.
    """
    constants = ("NaN", "Infinity") if isinstance(text, str) else (b"NaN", b"Infinity")
    if any(one in text for one in constants):  # type: ignore[operator]  # both are of one kind
        json.loads(text, parse_constant=_refuse)  # perhaps within a text: read, to know


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number in JSON")
