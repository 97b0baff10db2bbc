"""Write the table of settings into docs/settings.md, from runtime/settings.py."""

import sys
from pathlib import Path

from runtime.settings import Settings

DOCUMENT = Path(__file__).parents[1] / "docs" / "settings.md"
BEGIN, END = "<!-- settings: made by scripts/settings_table.py -->", "<!-- end of settings -->"


def table() -> str:
    """Return the table as Markdown."""
    rows = ["| Variable | Default | Meaning |", "|---|---|---|"]
    for field in Settings.model_fields.values():
        default = "not set" if field.default is None else f"`{str(field.default).lower()}`"
        meaning = (field.description or "").replace("|", "\\|")
        rows.append(f"| `{field.alias}` | {default} | {meaning} |")
    return "\n".join(rows)


def with_table(text: str) -> str:
    """Return the document with its table replaced.

    Raises:
        ValueError: the document has no place for it.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{DOCUMENT.name} has no lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    DOCUMENT.write_text(with_table(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit(0)
