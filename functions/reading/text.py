"""Text of a file in whatever encoding it came."""

import re
from collections.abc import Iterator

from state.passages import Piece

PIECE = 800
"""Characters of a passage, about: enough to answer from, few enough to tell what fits."""
SENTENCE = re.compile(r"(?<=[.!?…])\s+(?=\S)")


class Unreadable(ValueError):
    """The file cannot be read; the text says why and what to do, for people."""


def decoded(body: bytes) -> str:
    """Return the text: UTF-8, or what Windows and older spreadsheets write.

    >>> decoded("camión".encode("utf-8-sig")), decoded("camión".encode("cp1252"))
    ('camión', 'camión')
    """
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        return body.decode("utf-16", "replace")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = body.decode("cp1252", "replace")
    return text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")


def pieces(title: str, text: str) -> list[Piece]:
    """Cut a text into passages of whole sentences, under one title.

    >>> [one.body for one in pieces("t", "Uno. Dos.")]
    ['Uno. Dos.']
    """
    found: list[Piece] = []
    body = ""
    for part, gap in _parts(text):
        if body and len(body) + len(part) > PIECE:
            found.append(Piece(title, body))
            body = ""
        body = f"{body}{gap}{part}" if body else part
    if body:
        found.append(Piece(title, body))
    return found


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """Give sentences, each with what stood before it: a line's end, or a space."""
    for line in text.splitlines():
        gap = "\n"
        for sentence in filter(None, (part.strip() for part in SENTENCE.split(line))):
            for start in range(0, len(sentence), 2 * PIECE):  # a "sentence" may have no end
                yield sentence[start : start + 2 * PIECE], gap
                gap = " "
