"""Money as people write it: cents and text, per currency."""

import re
from typing import NamedTuple


class Style(NamedTuple):
    """How a currency is written where it is at home."""

    sign: str
    thousands: str
    decimal: str
    cents: bool = True
    """Whether cents are written at all."""
    always: bool = False
    """Whether they are written when they are zero."""


STYLES = {
    "ARS": Style("$", ".", ","),
    "BRL": Style("R$", ".", ",", always=True),
    "CLP": Style("$", ".", ",", cents=False),
    "COP": Style("$", ".", ","),
    "MXN": Style("$", ",", ".", always=True),
    "UYU": Style("$", ".", ","),
    "PEN": Style("S/", ",", ".", always=True),
    "USD": Style("US$", ",", ".", always=True),
    "EUR": Style("€", ".", ",", always=True),
}


def money(cents: int, currency: str) -> str:
    """Write an amount.

    >>> money(1299000, "ARS"), money(1299050, "ARS"), money(129990, "BRL")
    ('$ 12.990', '$ 12.990,50', 'R$ 1.299,90')
    >>> money(1299000, "MXN"), money(1299000, "CLP"), money(-500, "ARS")
    ('$ 12,990.00', '$ 12.990', '-$ 5')
    """
    style = STYLES.get(currency, Style(currency, ",", ".", always=True))
    whole, rest = divmod(abs(cents), 100)
    text = f"{whole:,}".replace(",", style.thousands)
    if style.cents and (rest or style.always):
        text += f"{style.decimal}{rest:02}"
    return f"{'-' if cents < 0 else ''}{style.sign} {text}"


AMOUNT = re.compile(r"\d{1,3}(?:[.,]\d{3})+(?:[.,]\d{1,2})?(?!\d)|\d+(?:[.,]\d{1,2})?(?!\d)")


def cents_of(text: str) -> int | None:
    """Read an amount however it is written; None: it is none.

    Three digits behind a point or comma are thousands; one or two are a fraction.

    >>> [cents_of(text) for text in ("12.990", "12990,00", "12,990.50", "1.299,9", "12", "abc")]
    [1299000, 1299000, 1299050, 129990, 1200, None]
    """
    found = AMOUNT.fullmatch(text.strip())
    if found is None:
        return None
    digits = found[0]
    fraction = re.search(r"[.,](\d{1,2})$", digits)
    whole = digits[: fraction.start()] if fraction else digits
    cents = fraction[1].ljust(2, "0") if fraction else "00"
    return int(re.sub(r"\D", "", whole)) * 100 + int(cents)
