"""Receipts: every checkable fact in a reply has to occur in what the turn was based on.

Amounts, percentages, links, addresses, numbers of phones and orders, and how long something takes:
what can be compared by code is. Evidence is what the tools returned, what was recalled, what the
shop itself instructed, and, for numbers alone, what the shopper wrote: repeating a shopper's order
number invents nothing, agreeing to a shopper's price does.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from state.rules.money import AMOUNT, cents_of

LINK = re.compile(r"(?:https?://|www\.)[^\s<>()\"']+", re.IGNORECASE)
MAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
PERCENT = re.compile(r"(\d+(?:[.,]\d+)?)\s*(?:%|por ?ciento|por ?cento|percent)", re.IGNORECASE)
GROUPED = r"\d{1,3}(?:[.,]\d{3})+(?:[.,]\d{1,2})?(?!\d)"
MONEY = re.compile(
    rf"(?:US\$|R\$|S/|[$€])\s*({AMOUNT.pattern})"
    rf"|({AMOUNT.pattern})\s*(?:pesos|reais|reales|soles|d[oó]lares|dollars|euros|ARS|BRL|USD)\b"
    rf"|(?<![\d.,])({GROUPED})",
    re.IGNORECASE,
)
SPAN = re.compile(
    r"(\d+)(?:\s*(?:a|o|e|y|ou|to|-)\s*(\d+))?\s*"
    r"(?:minutos?|horas?|hs?|d[ií]as?|semanas?|meses|mes|minutes?|hours?|days?|weeks?|months?|cuotas?"
    r"|parcelas?)\b",
    re.IGNORECASE,
)
CODE = re.compile(r"(?<![\w.,])(?=[A-Z0-9-]*\d)[A-Z0-9][A-Z0-9-]{4,}(?![\w])")
TRAILING = ".,;:!?)"


class Unsupported(NamedTuple):
    """A fact of a reply that nothing supports."""

    kind: str
    """price, percentage, link, e-mail, duration, number."""
    text: str
    """As the reply writes it."""


def unsupported(
    reply: str, evidence: Iterable[str], shopper: Iterable[str] = ()
) -> list[Unsupported]:
    """Return the facts of a reply that do not occur in the evidence, in order of kinds.

    >>> unsupported("Sale $ 12.990", ['{"price": "$ 12990,00"}'])
    []
    >>> unsupported("Te lo dejo en $ 9.000 con 15% off", ["$ 12.990"], ["¿me lo dejás a $ 9.000?"])
    [Unsupported(kind='price', text='$ 9.000'), Unsupported(kind='percentage', text='15%')]
    """
    known, said = _Known("\n".join(evidence)), "\n".join(shopper)
    return [
        *(Unsupported("price", one) for one in _prices(reply) if not known.price(one)),
        *(Unsupported("percentage", one) for one in _percents(reply) if not known.percent(one)),
        *(Unsupported("link", one) for one in _links(reply) if one not in known.links),
        *(Unsupported("e-mail", one) for one in MAIL.findall(reply) if one not in known.mails),
        *(Unsupported("duration", one) for one in _spans(reply) if not known.span(one)),
        *(Unsupported("number", one) for one in _codes(reply) if not known.code(one, said)),
    ]


def complaint(found: Sequence[Unsupported]) -> str:
    """Return what a model is told to put right."""
    facts = "; ".join(f"{one.kind} {one.text!r}" for one in found)
    return (
        f"Your reply states facts that no tool returned in this turn: {facts}. Write it again"
        " without them, or look them up with a tool first. If they cannot be found, say so."
    )


class _Known:
    """The facts of the evidence."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.links = set(_links(text))
        self.mails = set(MAIL.findall(text))
        self._prices = {_cents(one) for one in _prices(text)}
        self._percents = {_number(one) for one in _percents(text)}
        self._spans = {numbers for one in _spans(text) for numbers in [_numbers(one)]}
        self._loose = {int(one) for one in re.findall(r"\d+", text) if len(one) < 10}
        self._codes = _tokens(text)

    def price(self, text: str) -> bool:
        return _cents(text) in self._prices

    def percent(self, text: str) -> bool:
        return _number(text) in self._percents

    def span(self, text: str) -> bool:
        numbers = _numbers(text)
        return numbers in self._spans or all(one in self._loose for one in numbers)

    def code(self, text: str, said: str) -> bool:
        return not _tokens(text) - self._codes - _tokens(said)


def _prices(text: str) -> list[str]:
    return [found[0].strip() for found in MONEY.finditer(text)]


def _cents(text: str) -> int | None:
    found = MONEY.search(text)
    return cents_of(found[1] or found[2] or found[3]) if found else None


def _percents(text: str) -> list[str]:
    return [found[0].strip() for found in PERCENT.finditer(text)]


def _number(text: str) -> float:
    found = PERCENT.search(text)
    return float(found[1].replace(",", ".")) if found else -1.0


def _links(text: str) -> list[str]:
    return [found.rstrip(TRAILING) for found in LINK.findall(text)]


def _spans(text: str) -> list[str]:
    return [found[0] for found in SPAN.finditer(text)]


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(one) for one in re.findall(r"\d+", text))


def _tokens(text: str) -> set[str]:
    """Return words and numbers without what is written between their parts."""
    found = re.findall(r"[0-9A-Za-z]+(?:[.,-][0-9A-Za-z]+)*", text)
    return {re.sub(r"[^0-9A-Za-z]", "", one).upper() for one in found}


def _codes(text: str) -> list[str]:
    """Return numbers of orders, tracking and phones, coupon codes: what only a tool can know."""
    bare = MONEY.sub(" ", LINK.sub(" ", MAIL.sub(" ", text)))
    return [one for one in CODE.findall(bare) if sum(letter.isdigit() for letter in one) >= 2]
