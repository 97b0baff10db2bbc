"""What the source files say literally: functions, first rows, and which tables are the engine's.

A function's text lives in one place, its file; the declaration holds only its digest.
"""

import re
from functools import cache
from pathlib import Path

from state.migrate import files

FUNCTION = re.compile(r"^CREATE (?:OR REPLACE )?FUNCTION (\w+)\(.*?\$\$.*?\$\$;", re.S | re.M)
FIRST_ROWS = re.compile(r"^INSERT INTO (\w+)\b.*?;$", re.S | re.M)
TABLE = re.compile(r"^CREATE TABLE (\w+)", re.M)


@cache
def functions() -> dict[str, str]:
    """Return for each function's name the statement that makes it, or makes it anew."""
    migrations, code = files()
    found = {}
    for path in [*migrations, *code]:
        for match in FUNCTION.finditer(_read(path)):
            text = match.group().replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)
            found[match[1]] = text.removesuffix(";")
    return found


@cache
def first_rows() -> dict[str, str]:
    """Return for some tables the statement that puts the rows in that must be there."""
    migrations, _ = files()
    return {
        match[1]: match.group().removesuffix(";")
        for path in migrations
        for match in FIRST_ROWS.finditer(_read(path))
    }


@cache
def engine_tables() -> frozenset[str]:
    """Return the tables without which no invocation can be stored, claimed or ended."""
    migrations, _ = files()
    return frozenset(TABLE.findall(_read(migrations[0])))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
