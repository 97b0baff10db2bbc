"""Write a run that happened as a test: its event, its recorded steps, what came of it."""

import json
import pprint
from collections.abc import Sequence
from typing import Any

from runtime.attempt import BY_REQUEST
from runtime.errors import InvalidEvent, RuntimeFault
from runtime.event import validate
from runtime.function import Function
from runtime.redaction import Redactor
from runtime.registry import Registry
from state.ids import public_id
from state.invocations import InvocationDetail

WIDTH = 92
BY_PEOPLE = (BY_REQUEST, "cancelled before it ran")
PLAIN = """It holds what the shop and its customers wrote, and maybe secrets: look through it
before you commit it, or capture again with --redact."""
REDACTED = """Phones, addresses, texts and secrets that were recognised are placeholders; look
through it before you commit it. What the function composes of them may have to be adapted."""


class NotEnded(RuntimeFault):
    """Only what has ended is captured."""


def capture(
    registry: Registry,
    found: InvocationDetail,
    dispatched: Sequence[tuple[str, str]],
    shop: str | None,
    *,
    redact: bool = False,
) -> str:
    """Return the text of a pytest file.

    Args:
        registry: all functions.
        found: the invocation.
        dispatched: function and event (JSON) of what was dispatched with its outcome, in order.
        shop: name of its shop; None: the installation's.
        redact: put placeholders for what is personal.

    Raises:
        NotEnded: it has not.
        UnknownFunction: its function, or one that it dispatched to, is not there any more.
        InvalidEvent: an event does not fit its function: as it is now, or with placeholders.
    """
    name = public_id(found.id)
    if found.done_at is None:
        raise NotEnded(f"{name} is {found.state}: only what has ended can be captured")
    function = registry.named(found.function)
    event = json.loads(found.event)
    steps = {
        one.name: json.loads(one.result or "null") for one in found.steps if one.state == "done"
    }
    result = json.loads(found.result or "null")
    sent = [(registry.named(to), json.loads(text)) for to, text in dispatched]
    if redact:
        redactor = Redactor()
        for data in (event, steps, [each for _, each in sent]):
            redactor.learn(data)
        event, steps, result = map(redactor.redact, (event, steps, result))
        sent = [(to, redactor.redact(data)) for to, data in sent]
        shop = shop and "shop"
    for to, data in ((function, event), *sent):
        _check(to, data, redact)
    parts = [
        _head(name, found, redact),
        _imports(function, [to for to, _ in sent], found, shop),
        f"EVENT = {_literal(event)}",
        f"STEPS: dict[str, Any] = {_literal(steps)}",
        *([f"RESULT = {_literal(result)}"] if found.state == "done" else []),
        "",
        "",
        _test(function, found, sent, shop, redact),
    ]
    return "\n".join(parts)


def _check(function: Function[Any], data: Any, redact: bool) -> None:
    try:
        validate(function.event_type, data)
    except InvalidEvent as error:
        why = "--redact puts placeholders where they do not fit" if redact else "it has changed"
        raise InvalidEvent(f"{why}: {error}", error.problems) from None


def _head(name: str, found: InvocationDetail, redact: bool) -> str:
    begun = [one.name for one in found.steps if one.state != "done"]
    lines = [
        f'"""A run of {found.function}, as it happened: {name}, captured by `nexus capture`.',
        "",
        REDACTED if redact else PLAIN,
        "",
        "Recorded steps give their answers. Calls outside of steps are really made.",
    ]
    if begun:
        names = ", ".join(map(ascii, begun))
        lines.append(f"Begun and never answered, so made by this test: {names}.")
    return "\n".join([*lines, '"""', ""])


def _imports(
    function: Function[Any], to: list[Function[Any]], found: InvocationDetail, shop: str | None
) -> str:
    names: dict[str, set[str]] = {"runtime.testing": {"Trial"}}
    names.setdefault(function.module, set()).add(function.name)
    for each in (function, *to):
        names.setdefault(each.event_type.__module__, set()).add(each.event_type.__name__)
    if shop is not None:
        names.setdefault("runtime.context", set()).add("Shop")
    if _by_itself(found):
        names.setdefault("runtime", set()).add("Cancel")
    lines = [
        f"from {module} import {', '.join(sorted(some, key=_import_order))}"
        for module, some in sorted(names.items())
    ]
    outside = ["import pytest", ""] if _by_itself(found) else []
    return "\n".join(["from typing import Any", "", *outside, *lines, ""])


def _import_order(name: str) -> tuple[bool, str]:
    return not name[0].isupper(), name


def _by_itself(found: InvocationDetail) -> bool:
    return found.state == "cancelled" and found.error not in BY_PEOPLE


def _test(
    function: Function[Any],
    found: InvocationDetail,
    sent: list[tuple[Function[Any], Any]],
    shop: str | None,
    redact: bool,
) -> str:
    given = "" if shop is None else f", shop=Shop({found.tenant}, {shop!r})"
    run = f"await trial.run({function.event_type.__name__}.model_validate(EVENT))"
    lines = [
        f"async def test_{function.name}_{public_id(found.id)}() -> None:",
        f"    trial = Trial({function.name}{given})",
        "    trial.steps.update(STEPS)",
    ]
    if found.state == "done":
        lines.append(f"    assert {run} == RESULT")
        events = [
            f"        {to.event_type.__name__}.model_validate({data!r})," for to, data in sent
        ]
        lines += (
            ["    assert trial.dispatched == [", *events, "    ]"]
            if events
            else ["    assert trial.dispatched == []"]
        )
    elif _by_itself(found):
        lines += ["    with pytest.raises(Cancel):", f"        {run}"]
    else:
        why = "" if redact else f": {(found.error or '')[:500]!a}"
        lines += [f"    # It ended as {found.state}{why}", f"    {run}  # red until that is mended"]
    return "\n".join([*lines, ""])


def _literal(value: Any) -> str:
    return pprint.pformat(value, width=WIDTH, sort_dicts=False)
