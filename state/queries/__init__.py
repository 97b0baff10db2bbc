"""SQL statements by name: `load("invocations")["page"]`."""

import re
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def load(name: str) -> dict[str, str]:
    """Return the statements of `state/queries/<name>.sql`.

    A statement begins with a line `-- name: its_name`.
    """
    parts = NAME.split((HERE / f"{name}.sql").read_text(encoding="utf-8"))
    return {key: text.strip() for key, text in zip(parts[1::2], parts[2::2], strict=True)}
