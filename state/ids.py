"""Ids that leave the house: opaque text made from the number, and back.

A multiplication by an odd constant modulo 2^64 scatters neighbours; base 32 without look-alikes.
It hides how many invocations there are from a casual look; it is not a secret.
"""

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
INVOCATION, CONVERSATION = "inv_", "cnv_"
NAMES = {INVOCATION: "an invocation", CONVERSATION: "a conversation"}
MASK = (1 << 64) - 1
FACTOR = 0x9E37_79B9_7F4A_7C15
INVERSE = pow(FACTOR, -1, 1 << 64)
LENGTH = 13


def public_id(number: int, prefix: str = INVOCATION) -> str:
    """Return the id as people see it: `inv_` and 13 letters.

    >>> parse_id(public_id(42)), parse_id(public_id(7, CONVERSATION), CONVERSATION)
    (42, 7)
    """
    scattered = number * FACTOR & MASK
    letters = []
    for _ in range(LENGTH):
        scattered, rest = divmod(scattered, 32)
        letters.append(ALPHABET[rest])
    return prefix + "".join(reversed(letters))


def parse_id(text: str, prefix: str = INVOCATION) -> int:
    """Return the number. Plain digits are taken too.

    Raises:
        ValueError: it is no id.
    """
    text = text.strip().lower()
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return int(text)
    body = text.removeprefix(prefix)
    if not text.startswith(prefix) or len(body) != LENGTH or set(body) - set(ALPHABET):
        raise ValueError(
            f"{text[:40]!r} is not {NAMES[prefix]}'s id ({prefix} and {LENGTH} letters)"
        )
    scattered = 0
    for letter in body:
        scattered = scattered * 32 + ALPHABET.index(letter)
    number = scattered * INVERSE & MASK
    if scattered > MASK or number >= 1 << 63:
        raise ValueError(f"{text[:40]!r} is not {NAMES[prefix]}'s id")
    return number
