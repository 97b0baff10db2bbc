"""JSON as it really comes: read leniently, and made fit for Postgres part by part."""

import json
import math
from typing import Any

DEPTH_LIMIT = 64
LONG_DIGITS = 18


def parse(body: bytes) -> Any:
    """Return the data; what is broken in a text is replaced, so that its neighbours survive.

    Raises:
        ValueError: it is no JSON at all, or nested beyond every measure.
    """
    try:
        return json.loads(
            body.decode("utf-8", "replace"),
            parse_int=_integer,
            parse_float=_number,
            parse_constant=lambda _: None,
        )
    except RecursionError:
        raise ValueError("nested too deep") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON at character {error.pos}") from None


def fit(value: Any, depth: int = 0) -> Any:
    """Return data that Postgres can hold: no NUL, no half of a surrogate pair.

    Raises:
        ValueError: it is nested too deep.
    """
    if depth > DEPTH_LIMIT:
        raise ValueError("nested too deep")
    if isinstance(value, str):
        return fit_text(value)
    if isinstance(value, dict):
        return {fit_text(name): fit(one, depth + 1) for name, one in value.items()}
    if isinstance(value, list):
        return [fit(one, depth + 1) for one in value]
    return value


def fit_text(text: str) -> str:
    r"""Return a text that Postgres can hold.

    >>> fit_text("a\0b\ud800c")
    'a�b�c'
    """
    if text.isascii() and "\0" not in text:
        return text
    # Two halves that belong together are joined; a lone one becomes the sign for "unreadable".
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole.replace("\0", "\ufffd")


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= LONG_DIGITS else digits


def _number(digits: str) -> float | str:
    found = float(digits)
    return found if math.isfinite(found) else digits
