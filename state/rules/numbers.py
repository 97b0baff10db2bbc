"""The two forms that some countries' mobile numbers have.

A person who writes as `549…` may have to be answered at `54…`, and so on (errors 131026, 131030).
Neither form is the right one everywhere, so nothing is ever "normalised": answer to the form that
was received, and try the other one once.
"""

BRAZIL_MOBILE_FIRST = "6789"


def other_form(number: str) -> str | None:
    """Return the other form of a number in digits; None: it has only one.

    >>> other_form("5491155550000"), other_form("541155550000")
    ('541155550000', '5491155550000')
    >>> other_form("5215555550000"), other_form("525555550000")
    ('525555550000', '5215555550000')
    >>> other_form("5511987654321"), other_form("551187654321")
    ('551187654321', '5511987654321')
    >>> other_form("551132654321") is None, other_form("16505551234") is None
    (True, True)
    """
    if not (number.isascii() and number.isdigit()):
        return None
    if number.startswith("549") and len(number) == 13:
        return "54" + number[3:]
    if number.startswith("54") and len(number) == 12:
        return "549" + number[2:]
    if number.startswith("521") and len(number) == 13:
        return "52" + number[3:]
    if number.startswith("52") and len(number) == 12:
        return "521" + number[2:]
    brazilian = number.startswith("55")
    if brazilian and len(number) == 13 and number[4] == "9" and number[5] in BRAZIL_MOBILE_FIRST:
        return number[:4] + number[5:]
    if brazilian and len(number) == 12 and number[4] in BRAZIL_MOBILE_FIRST:
        return number[:4] + "9" + number[4:]
    return None
