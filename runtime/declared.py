"""Numbers in what is declared: a text where a number belongs is told with how it is written."""

import math
import typing
from dataclasses import fields
from typing import Any

from runtime.errors import DeclarationError

KINDS: dict[type[Any], tuple[type[Any], ...]] = {int: (int,), float: (int, float)}


def check_numbers(declared: Any) -> None:
    """Refuse a dataclass whose fields of type int or float hold something else, or no number.

    Raises:
        DeclarationError: names class and field, with an example.
    """
    for name, (kind, optional) in _numbers(type(declared)).items():
        value: Any = getattr(declared, name)
        if optional and value is None:
            continue
        if (
            not isinstance(value, KINDS[kind])
            or isinstance(value, bool)  # True is an int
            or not -math.inf < value < math.inf
        ):
            raise DeclarationError(
                f"{type(declared).__name__}({name}={value!r}): {_remedy(name, kind, value)}"
            )


def _remedy(name: str, kind: type, value: object) -> str:
    try:
        meant = float(kind(str(value)))
        return f"did you mean {name}={value}?" if math.isfinite(meant) else "a finite number"
    except ValueError:
        return f"a {'whole ' if kind is int else ''}number, as {name}=3"


def _numbers(declared: type[Any]) -> dict[str, tuple[type, bool]]:
    """Return the fields that hold numbers: of which kind, and whether None is allowed."""
    hints = typing.get_type_hints(declared)
    found = {}
    for name in (field.name for field in fields(declared)):
        choices = typing.get_args(hints[name]) or (hints[name],)
        numbers = [kind for kind in KINDS if kind in choices]
        if numbers and set(choices) <= {*KINDS, type(None)}:
            found[name] = (numbers[-1], type(None) in choices)
    return found
