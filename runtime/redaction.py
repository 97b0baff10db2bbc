"""Take what is personal out of recorded data: phones, e-mail addresses, texts, secrets.

By the names of fields, and by what values look like. The same text gets the same placeholder
everywhere, also inside other texts, so what was copied still agrees. Too much rather than too
little; a person looks at what is left.
"""

import re
from collections import Counter
from typing import Any

FIELDS = {
    "secret": re.compile(r"token|secret|passw|authorization|credential|api_?key", re.I),
    "email": re.compile(r"mail|correo", re.I),
    "phone": re.compile(
        r"phone|mobile|celular|telefon|^tel$|whatsapp|wa_id|msisdn|sender|recipient"
        r"|(^|_)(from|to)$",
        re.I,
    ),
    "text": re.compile(
        r"text|body|message|caption|content|note|comment|name|address|street|city|title|subject"
        r"|query|question|answer|summary|reply|reason|dni|cpf|cuit",
        re.I,
    ),
}
EMAIL = re.compile(r"[^\s@<>\"',;]+@[^\s@<>\"',;]+\.\w+")
PHONE = re.compile(r"(?<![\w.])\+?\d[\d ().-]{6,}\d(?![\w.])")
DATE = re.compile(r"\d{4}-\d\d-\d\d")
SHORTEST = 3
"""Shorter texts are not looked for inside others: they would be found everywhere."""
LONG = 40
"""A text as long as this is taken for something that somebody wrote."""


class Redactor:
    """Replaces the same things in the same way in all that it is given."""

    def __init__(self) -> None:
        self._placeholders: dict[str, str] = {}
        self._counts: Counter[str] = Counter()

    def learn(self, value: Any, field: str = "") -> None:
        """Note what is personal in some data, so that it is found in other data too."""
        if isinstance(value, dict):
            for key, each in value.items():
                self.learn(each, key)
        elif isinstance(value, list):
            for each in value:
                self.learn(each, field)
        elif isinstance(value, str) and value:
            kind = _kind(field)
            if kind:
                self._placeholder(kind, value)

    def redact(self, value: Any, field: str = "") -> Any:
        """Return the data without it."""
        if isinstance(value, dict):
            return {self._inside(key): self.redact(each, key) for key, each in value.items()}
        if isinstance(value, list):
            return [self.redact(each, field) for each in value]
        if isinstance(value, str) and value:
            kind = _kind(field)
            return self._placeholder(kind, value) if kind else self._text(value)
        if type(value) is int and _kind(field) == "phone" and value >= 1_000_000:
            return int(self._placeholder("phone", str(value)))
        return value

    def _text(self, value: str) -> str:
        if value in self._placeholders:
            return self._placeholders[value]
        inside = self._inside(value)
        written = len(inside) >= LONG and " " in inside
        return self._placeholder("text", value) if written else inside

    def _inside(self, value: str) -> str:
        for known in sorted(self._placeholders, key=len, reverse=True):
            if len(known) >= SHORTEST:
                value = value.replace(known, self._placeholders[known])
        value = EMAIL.sub(lambda found: self._placeholder("email", found[0]), value)
        return PHONE.sub(self._phone, value)

    def _phone(self, found: "re.Match[str]") -> str:
        if DATE.match(found[0]) or found[0] in self._placeholders.values():
            return found[0]
        return self._placeholder("phone", found[0])

    def _placeholder(self, kind: str, value: str) -> str:
        if value in self._placeholders:
            return self._placeholders[value]
        if value in self._placeholders.values():
            return value
        self._counts[kind] += 1
        number = self._counts[kind]
        plus = "+" if value.startswith("+") else ""
        made = {
            "phone": f"{plus}{10_000_000_000 + number}",
            "email": f"person-{number}@example.com",
        }
        self._placeholders[value] = made.get(kind, f"{kind}-{number}")
        return self._placeholders[value]


def _kind(field: str) -> str:
    return next((kind for kind, names in FIELDS.items() if names.search(field)), "")
