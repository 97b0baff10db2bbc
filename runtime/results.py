"""The JSON of what handlers give away: results, answers of steps, chunks of a stream."""

import json
from typing import Any, NoReturn

from pydantic_core import PydanticSerializationError, to_json


def json_of(value: Any) -> bytes:
    """Return the JSON of a value, in UTF-8.

    Raises:
        ValueError: it has none; names the type, or the number that JSON cannot write (RFC 8259,
            section 6: neither NaN nor an infinity).
    """
    try:
        body = to_json(value)
    except PydanticSerializationError as error:
        raise ValueError(str(error)) from None
    if b"NaN" in body or b"Infinity" in body:  # perhaps within a text, so it is read to know
        json.loads(body, parse_constant=_refuse)
    return body


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number in JSON")
