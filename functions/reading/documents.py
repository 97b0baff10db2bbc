"""Documents, each in its own way: a list of passages with the headings above them."""

import csv
import io
import re
from collections.abc import Callable, Mapping
from html.parser import HTMLParser

from functions.reading.text import Unreadable, decoded, pieces
from state.passages import Piece

HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*#*$", re.MULTILINE)
LEVELS = {f"h{level}": level for level in range(1, 7)}
UNREAD = frozenset({"script", "style", "template", "nav", "noscript", "svg", "head"})
BLOCKS = frozenset({"p", "div", "li", "br", "tr", "td", "th", "section", "article", "ul", "ol"})


def markdown(body: bytes, name: str) -> list[Piece]:
    """Read Markdown: a passage belongs to the headings above it."""
    text = decoded(body)
    found: list[Piece] = []
    above: list[str] = []
    marks = [*HEADING.finditer(text)]
    found += pieces(name, text[: marks[0].start()] if marks else text)
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    for mark, end in zip(marks, ends, strict=False):
        above = [*above[: len(mark[1]) - 1], mark[2]]
        found += pieces(" > ".join(above), text[mark.end() : end])
    return found


def plain(body: bytes, name: str) -> list[Piece]:
    """Read plain text."""
    return pieces(name, decoded(body))


def table(body: bytes, name: str) -> list[Piece]:
    """Read a table with a heading: two columns are questions and answers."""
    text = decoded(body)
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=separator(text)) if any(row)]
    except csv.Error as error:
        raise Unreadable(f"{name} is no table: {error}") from None
    if len(rows) < 2:
        raise Unreadable(f"{name} has no rows below its heading")
    heading, found = [cell.strip() for cell in rows[0]], []
    for row in rows[1:]:
        cells = [cell.strip() for cell in row]
        if len(heading) == 2 and len(cells) >= 2:
            found += [Piece(cells[0], one.body) for one in pieces(cells[0], cells[1])]
        else:
            named = [f"{a}: {b}" for a, b in zip(heading, cells, strict=False) if b]
            found += pieces(name, ". ".join(named))
    return found


def page(body: bytes, name: str) -> list[Piece]:
    """Read HTML: what a reader sees, below its headings."""
    reader = _Page(name)
    reader.feed(decoded(body))
    reader.close()
    return reader.finish()


def pdf(body: bytes, name: str) -> list[Piece]:
    """Read the text of a PDF, page by page."""
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        texts = [one.extract_text() for one in PdfReader(io.BytesIO(body)).pages]
    except (PyPdfError, ValueError, KeyError, OSError) as error:
        raise Unreadable(f"{name} is no PDF that can be read ({type(error).__name__})") from None
    found = [
        piece
        for number, text in enumerate(texts, 1)
        for piece in pieces(f"{name}, p. {number}", text.replace("\0", ""))
    ]
    if not found:
        raise Unreadable(f"{name} has no text: it is scanned. Give it as text, or with text in it")
    return found


READERS: Mapping[str, Callable[[bytes, str], list[Piece]]] = {
    ".md": markdown,
    ".markdown": markdown,
    ".txt": plain,
    ".csv": table,
    ".html": page,
    ".htm": page,
    ".pdf": pdf,
}


def read(name: str, body: bytes) -> list[Piece]:
    """Read a document by the ending of its name.

    Raises:
        Unreadable: nobody can read it; says what to do.
    """
    ending = f".{name.rpartition('.')[2].lower()}" if "." in name else ""
    reader = READERS.get(ending)
    if reader is None:
        raise Unreadable(f"{name}: files end in {', '.join(READERS)}")
    title = name.rpartition(".")[0].replace("-", " ").replace("_", " ")
    found = reader(body, title)
    if not found:
        raise Unreadable(f"{name} is empty")
    return found


def separator(text: str) -> str:
    r"""Return what separates the columns: whatever the heading has most of.

    >>> separator("a;b;c\n1,5;2;3"), separator("a,b"), separator("a\tb")
    (';', ',', '\t')
    """
    heading = text.partition("\n")[0]
    return max(";,\t", key=heading.count)


class _Page(HTMLParser):
    def __init__(self, title: str) -> None:
        super().__init__(convert_charrefs=True)
        self._title, self._above = title, [""] * 6
        self._found: list[Piece] = []
        self._text: list[str] = []
        self._heading: tuple[int, list[str]] | None = None
        self._skipped = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in UNREAD:
            self._skipped += 1
        elif tag in LEVELS:
            self._flush()
            self._heading = (LEVELS[tag], [])
        elif tag in BLOCKS:
            self._text.append("\n- " if tag == "li" else "\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in UNREAD:
            self._skipped = max(0, self._skipped - 1)
        elif tag in LEVELS and self._heading is not None:
            level, words = self._heading
            self._above[level - 1 :] = [" ".join("".join(words).split())] + [""] * (6 - level)
            self._heading = None
        elif tag in BLOCKS:
            self._text.append("\n")

    def handle_data(self, data: str) -> None:
        if self._skipped:
            return
        (self._heading[1] if self._heading else self._text).append(data)

    def finish(self) -> list[Piece]:
        """Return everything that was read."""
        self._flush()
        return self._found

    def _flush(self) -> None:
        text, self._text = "".join(self._text), []
        title = " > ".join(filter(None, self._above)) or self._title
        self._found += pieces(title, text)
