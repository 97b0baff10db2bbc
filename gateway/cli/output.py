"""How commands print: one JSON document for machines, aligned columns for people."""

import json
import sys
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Any


def print_json(document: Any) -> None:
    """Print exactly one JSON document."""
    print(json.dumps(document, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def table(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return aligned columns; numbers stand right, text left."""
    texts = [[safe(str(cell)) for cell in row] for row in rows]
    right = [all(isinstance(row[at], int | float) for row in rows) for at in range(len(titles))]
    widths = [max(map(len, column)) for column in zip(titles, *texts, strict=True)]
    lines = []
    for line in [list(titles), *texts]:
        cells = [
            cell.rjust(width) if at_right else cell.ljust(width)
            for cell, width, at_right in zip(line, widths, right, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def local_time(moment: datetime | None) -> str:
    """Return a time as the clock on this wall shows it: `14:02:11`, `22 Nov 14:02:11`."""
    if moment is None:
        return "-"
    here = moment.astimezone()
    today = datetime.now().astimezone().date()
    return f"{here:%H:%M:%S}" if here.date() == today else f"{here:%Y-%m-%d %H:%M:%S}"


def shortened(text: str | None, width: int = 60) -> str:
    """Return the first line, cut at `width`."""
    line = (text or "").partition("\n")[0]
    return line if len(line) <= width else line[: width - 1] + "…"


def safe(text: str) -> str:
    """Return text that cannot steer a terminal: what was stored may come from a stranger."""
    return "".join(
        letter if letter in "\n\t" or unicodedata.category(letter) not in ("Cc", "Cf") else "�"
        for letter in text
    )


def plain(result: str | None) -> str:
    """Return a result (JSON text) as a person reads it: a text without its quotes."""
    value = json.loads(result) if result is not None else None
    if isinstance(value, str):
        return safe(value)
    return safe(json.dumps(value, ensure_ascii=False, indent=2))
