"""The plans of the hot statements, as a worker's connection has them."""

import argparse
import asyncio
import json
import re
from dataclasses import dataclass
from pathlib import Path

from bench.servers import servers
from bench.stack import ROOT
from state.database import PLANNER, Connection, connect

ROUTINES = ROOT / "state" / "routines"
PAGE = ROOT / "docs" / "plans.md"
FUNCTION = re.compile(
    r"FUNCTION (\w+)\(([^)]*)\)\s*RETURNS.*?\$\$(.*?)\$\$", re.DOTALL | re.IGNORECASE
)
DECLARED = re.compile(r'(\w+) ("char"|\w+)((?:\[\])?)(?= :=|;|,|$| DEFAULT)', re.MULTILINE)
COMMENT = re.compile(r"--[^\n]*")


@dataclass(frozen=True)
class Hot:
    """A statement inside a routine: how it begins there, and the indexes it has to use."""

    name: str
    routine: str
    begins: str
    indexes: tuple[str, ...]


HOT = (
    Hot("oldest work that is due", "claim", "SELECT q.run_at INTO oldest FROM work", ("work_due",)),
    Hot("oldest due lane", "claim", "SELECT q.run_at INTO oldest FROM lane", ("lane_due",)),
    Hot("work that is due", "claim_work", "SELECT array_agg(z.id)", ("work_due",)),
    Hot("claim all that is due", "claim_work", "UPDATE work k", ("work_pkey",)),
    Hot(
        "shops with due work",
        "ready_shops",
        "SELECT q.tenant, q.run_at INTO found_shop, due_at FROM work",
        ("work_ready",),
    ),
    Hot("claim by shops", "claim_work", "UPDATE work k#2", ("work_ready", "work_pkey")),
    Hot("lanes that are due", "claim_lanes", "SELECT count(*) INTO due", ("lane_due",)),
    Hot("claim all due lanes", "claim_lanes", "UPDATE lane x", ("lane_due", "lane_pkey")),
    Hot(
        "shops with due lanes",
        "ready_shops",
        "SELECT q.tenant, q.run_at INTO found_shop, due_at FROM lane",
        ("lane_ready",),
    ),
    Hot("claim lanes by shops", "claim_lanes", "UPDATE lane x#2", ("lane_ready", "lane_pkey")),
    Hot("events of what was claimed", "claim", "SELECT 'c'::\"char\", c.id", ("invocation_pkey",)),
    Hot("heads of lanes", "heads", "WITH found AS", ("work_line", "lane_pkey", "invocation_pkey")),
    Hot("burst in line", "in_line", "SELECT array_agg(w.id", ("work_line",)),
    Hot("when a burst is due", "due_in_line", "SELECT CASE", ("work_pkey",)),
    Hot("fence of lanes", "turn", "SELECT array_agg(x.tenant)", ("lane_pkey",)),
    Hot("end in lanes", "turn", "WITH gone AS", ("lane_pkey", "work_pkey")),
    Hot("put back in lanes", "turn", "WITH put_back AS", ("lane_pkey", "work_pkey")),
    Hot("end without lanes", "turn", "WITH gone AS#2", ("work_pkey",)),
    Hot("put back without lanes", "turn", "WITH put_back AS#2", ("work_pkey",)),
    Hot("fence of steps in lanes", "record_steps", "SELECT array_agg(o.id)", ("lane_pkey",)),
    Hot("fence of steps", "record_steps", "SELECT array_agg(o.id)#2", ("work_pkey",)),
    Hot("known keys", "dispatch", "SELECT array_agg(coalesce(o.id", ("once_pkey",)),
)


def statement_of(hot: Hot) -> str:
    """Return a statement as something to prepare: variables of the routine are parameters.

    Raises:
        LookupError: the routine has no statement that begins so.
    """
    for path in sorted(ROUTINES.glob("*.sql")):
        text = COMMENT.sub("", path.read_text(encoding="utf-8"))
        for name, arguments, body in FUNCTION.findall(text):
            if name == hot.routine:
                return _prepared(hot, arguments, body)
    raise LookupError(hot.routine)


def _prepared(hot: Hot, arguments: str, body: str) -> str:
    begins, _, place = hot.begins.partition("#")
    declared, begun, code = body.partition("BEGIN")
    if not begun:  # LANGUAGE sql
        declared, code = "", body
    at = -1
    for _ in range(int(place or 1)):
        at = code.find(begins, at + 1)
        if at < 0:
            raise LookupError(f"{hot.routine}: {hot.begins}")
    text = code[at:].partition(";")[0].replace(f"{hot.routine}.", "")
    text = re.sub(r"\bINTO \w+(?:, \w+)*(?=\s+FROM)", "", text)
    types = {
        name: kind + array for name, kind, array in DECLARED.findall(f"{arguments},\n{declared}")
    }
    numbers: dict[str, int] = {}

    def parameter(found: re.Match[str]) -> str:
        name = found[0]
        numbers.setdefault(name, len(numbers) + 1)
        return f"${numbers[name]}::{types[name]}"

    names = "|".join(sorted(types, key=len, reverse=True))
    return re.sub(rf"(?<![\w.])(?:{names})(?![\w(.])(?!\s*(?:\(|AS\b))", parameter, text)


async def plan(connection: Connection, hot: Hot) -> str:
    """Return the plan that a statement has in this database, whatever its arguments."""
    statement = statement_of(hot)
    count = max(map(int, re.findall(r"\$(\d+)", statement)))
    await connection.execute(f"PREPARE hot AS {statement}")
    try:
        nothing = ", ".join(["NULL"] * count)
        rows = await connection.fetch(f"EXPLAIN (COSTS OFF) EXECUTE hot({nothing})")
    finally:
        await connection.execute("DEALLOCATE hot")
    return "\n".join(row[0] for row in rows)


async def plans(dsn: str) -> dict[str, str]:
    """Return all plans, as a worker's connection would have them."""
    connection = await connect(dsn, application="nexus plans", settings=PLANNER)
    try:
        return {hot.name: await plan(connection, hot) for hot in HOT}
    finally:
        await connection.close()


def page(found: dict[str, str]) -> str:
    """Return the page that keeps them."""
    told = {hot.name: hot.routine for hot in HOT}
    parts = [
        f"## {name[0].upper()}{name[1:]}\n\n`{told[name]}`\n\n```\n{text}\n```\n"
        for name, text in found.items()
    ]
    return HEAD + "\n" + "\n".join(parts)


HEAD = """# Plans of the hot statements

Written by `./nexus bench plans`, from a database with a million finished and 200,000 waiting
invocations. Workers' connections pin the planner (`state/database.py`, `PLANNER`): one generic plan
for each statement, made once, whether a table is empty or full at that moment.
`tests/state/test_plans.py` holds that each goes by its indexes, in an empty database and in a full
one, and reads no big table in a row.
"""


def main() -> None:
    """Write the page."""
    from bench.growth import GROW

    parser = argparse.ArgumentParser(prog="nexus bench plans", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the same")
    parser.parse_args()
    with servers() as own:
        own.run(*GROW)
        found = asyncio.run(plans(own.dsn))
    Path(PAGE).write_text(page(found), encoding="utf-8")
    print(json.dumps({"plans": len(found)}))


if __name__ == "__main__":
    main()
