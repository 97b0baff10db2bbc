"""What commands print: tables for people, one JSON document for machines."""

import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any


def print_json(document: Any) -> None:
    """Print one JSON document."""
    print(json.dumps(document, ensure_ascii=False, indent=2, default=_plain))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    raise TypeError(f"no JSON form of {type(value).__name__}")


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print columns as wide as they need to be; the last one is cut to fit a terminal."""
    texts = [[_line(cell) for cell in row] for row in rows]
    widths = [
        max(len(header[place]), *(len(row[place]) for row in texts))
        if texts
        else len(header[place])
        for place in range(len(header))
    ]
    room = _room() - sum(widths[:-1]) - 2 * (len(widths) - 1)
    for row in [list(header), *texts]:
        cells = [text.ljust(width) for text, width in zip(row[:-1], widths, strict=False)]
        last = row[-1] if len(row[-1]) <= max(room, 10) else row[-1][: max(room, 10) - 1] + "…"
        print("  ".join([*cells, last]).rstrip())


def safe(text: str) -> str:
    """Return a text without what could steer a terminal: strangers wrote parts of it."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)


def _line(cell: object) -> str:
    return safe(" ".join(str("" if cell is None else cell).split()))


def _room() -> int:
    return os.get_terminal_size().columns if sys.stdout.isatty() else 10_000


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """Return how long ago something was, or when it will be, in words."""
    if moment is None:
        return ""
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    size = abs(seconds)
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        if size >= length:
            text = f"{int(size // length)} {unit}"
            return f"{text} ago" if seconds > 0 else f"in {text}"
    return "now"


def local_time(moment: datetime | None) -> str:
    """Return date and time in the terminal's zone."""
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
