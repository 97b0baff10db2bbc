"""What each option of `@function` may be. A wrong one is told with how it is written."""

from collections.abc import Mapping
from typing import Any

from runtime.errors import DeclarationError
from runtime.policy import Retry, Scale
from runtime.trigger import Cron, Webhook

NUMBER = (int, float)
KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "timeout": (NUMBER, "timeout=60"),
    "retry": ((Retry,), "retry=Retry(attempts=3)"),
    "lane": ((str, type(None)), 'lane="field"'),
    "namespace": ((str, type(None)), 'namespace="name"'),
    "deadline": ((*NUMBER, type(None)), "deadline=3600"),
    "priority": ((str, type(None)), 'priority="field"'),
    "scale": ((Scale,), "scale=Scale(minimum=0, maximum=4)"),
}
"""Types, and an example. Of the options that `Policy` does not check itself."""
SERIES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "trigger": ((Cron, Webhook), 'trigger=Cron("*/15 * * * *"), or a tuple of triggers'),
    "aliases": ((str,), 'aliases=("former_name",)'),
}
"""The same of those that are tuples."""


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse what is of another type.

    Raises:
        DeclarationError: with an example.
    """
    for name, (types, example) in KINDS.items():
        if name in options and not _is(options[name], types):
            raise DeclarationError(f"{name}={options[name]!r}: did you mean {example}?")
    for name, (types, example) in SERIES.items():
        given = options.get(name, ())
        if not isinstance(given, tuple) or not all(_is(one, types) for one in given):
            raise DeclarationError(f"{name}={given!r}: did you mean {example}?")


def _is(value: object, types: tuple[type, ...]) -> bool:
    return isinstance(value, types) and not isinstance(value, bool)  # True is an int
