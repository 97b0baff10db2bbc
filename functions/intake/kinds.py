"""Kinds of messages: what a person reads of each, and whether it asks for an answer.

WhatsApp Cloud API, "messages" webhook reference; kinds that nobody knows yet are kept as they are.
"""

from collections.abc import Callable, Mapping
from typing import Any

Value = Mapping[str, Any]

CAPTIONED = ("image", "video", "document", "audio", "sticker")
SILENT = frozenset({"reaction", "system", "edit", "revoke", "request_welcome", "unknown"})
KNOWN = frozenset(
    {
        *CAPTIONED,
        *SILENT,
        *("text", "location", "contacts", "interactive", "button", "order", "unsupported"),
    }
)


def asks_for_answer(kind: str) -> bool:
    """Say whether somebody who sends this waits for an answer. A photo without words does.

    >>> asks_for_answer("image"), asks_for_answer("reaction"), asks_for_answer("kind of 2030")
    (True, False, False)
    """
    return kind in KNOWN - SILENT


def readable(kind: str, message: Value) -> str | None:
    """Return what a person reads of a message; None: nothing.

    >>> readable("image", {"image": {"id": "1"}})
    >>> readable("interactive", {"interactive": {"list_reply": {"id": "7", "title": "38"}}})
    '38'
    """
    text = READERS.get(kind, _nothing)(_object(message, kind))
    if kind == "contacts":
        text = _names(message.get("contacts"))
    return text.strip() or None if text else None


def _object(value: Value, name: str) -> Value:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _text(value: Value, *names: str) -> str | None:
    """Return the first of these fields that is text."""
    return next((found for name in names if isinstance(found := value.get(name), str)), None)


def _nothing(_: Value) -> str | None:
    return None


def _interactive(value: Value) -> str | None:
    for name in ("button_reply", "list_reply"):
        if title := _text(_object(value, name), "title"):
            return title
    return _text(_object(value, "nfm_reply"), "body", "name")


def _location(value: Value) -> str | None:
    words = [text for name in ("name", "address") if (text := _text(value, name))]
    if words:
        return ", ".join(words)
    at = [value.get(name) for name in ("latitude", "longitude")]
    return ", ".join(map(str, at)) if all(isinstance(one, int | float) for one in at) else None


def _order(value: Value) -> str | None:
    items = value.get("product_items")
    lines = [text] if (text := _text(value, "text")) else []
    for item in items if isinstance(items, list) else []:
        if isinstance(item, dict):
            lines.append(f"{item.get('quantity', 1)} x {item.get('product_retailer_id', '?')}")
    return "\n".join(lines)


def _edited(value: Value) -> str | None:
    message = _object(value, "message")
    kind = _text(message, "type") or "text"
    return readable(kind, message) if kind != "edit" else None


def _names(contacts: Any) -> str | None:
    names = [
        _text(_object(one, "name"), "formatted_name", "first_name")
        for one in (contacts if isinstance(contacts, list) else [])
        if isinstance(one, dict)
    ]
    return ", ".join(filter(None, names))


READERS: Mapping[str, Callable[[Value], str | None]] = {
    "text": lambda value: _text(value, "body"),
    "button": lambda value: _text(value, "text", "payload"),
    "reaction": lambda value: _text(value, "emoji"),
    "system": lambda value: _text(value, "body"),
    "interactive": _interactive,
    "location": _location,
    "order": _order,
    "edit": _edited,
    "document": lambda value: _text(value, "caption", "filename"),
    **{kind: (lambda value: _text(value, "caption")) for kind in CAPTIONED if kind != "document"},
}
