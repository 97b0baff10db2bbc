"""Compare two schemas, and say of each difference what is to be done about it."""

from dataclasses import dataclass, replace
from typing import Any

from state.surgeon.facts import Fact, Schema
from state.surgeon.sources import engine_tables
from state.surgeon.statements import ORDER, Change, changed, gone, made

REPAIRABLE, REPAIRED, REFUSED, LEFT = "repairable", "repaired", "refused", "left"
MISSING, CHANGED, EXTRA = "missing", "changed", "extra"

WORDS = {MISSING: "is missing", CHANGED: "is different", EXTRA: "is not declared"}

TRAITS = ("default", "not null", "identity", "generated")
HARMLESS = ("table", "column", "index", "function", "sequence", "option")
"""What may stand beside ours: nothing we write or read becomes different by it."""


@dataclass(frozen=True)
class Finding:
    """One difference between the database and the declared schema."""

    fact: Fact
    """As declared; an extra one: as found."""
    problem: str
    """missing, changed or extra."""
    state: str
    """repairable, repaired, refused; or left: of unknown origin, and in nobody's way."""
    statements: tuple[str, ...]
    """What was done, or would have to be."""
    reason: str = ""
    """Why it is refused, or left."""

    @property
    def what(self) -> str:
        """Say it in words: `column note of work is missing`."""
        fact = self.fact
        if fact.kind == "row security":
            subject = f"row level security ({fact.name.lower()}) of {fact.place}"
        elif fact.kind == "grant":
            role, _, word = fact.name.partition(" ")
            subject = f"{word} on {fact.place} for {role}"
        elif fact.kind == "member":
            subject = f"membership of the login user in {fact.name}"
        else:
            subject = f"{fact.kind} {fact.name}" + (f" of {fact.place}" if fact.place else "")
        return f"{subject} {WORDS[self.problem]}"

    @property
    def stops(self) -> bool:
        """Say whether nothing can work with it: the engine lacks a part of its own.

        All else is refused and the processes start: a shop whose catalogue page fails is better
        off than one whose messages are not taken. With these, messages would not be taken anyway.
        """
        if self.state != REFUSED or self.problem == EXTRA:
            return False
        fact = self.fact
        if fact.kind in ("table", "column", "key"):
            return (fact.place or fact.name) in engine_tables()
        missing = self.problem == MISSING
        return missing and fact.kind in ("role", "member", "sequence", "function")

    def document(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            "kind": self.fact.kind,
            "place": self.fact.place,
            "name": self.fact.name,
            "problem": self.problem,
            "what": self.what,
            "state": self.state,
            "statements": list(self.statements),
            "reason": self.reason,
        }


def compare(declared: Schema, live: Schema) -> list[Finding]:
    """Return every difference, in the order in which repairs have to be done."""
    missing = {key: fact for key, fact in declared.items() if key not in live}
    extra = {key: fact for key, fact in live.items() if key not in declared}
    renamed = _renamed(missing, extra, declared, live)
    findings = [
        _missing(fact, renamed.get(fact.key), declared)
        for fact in missing.values()
        if not _part_of(fact, missing, renamed)
    ]
    findings += [
        _changed(fact, live[key].says, declared)
        for key, fact in declared.items()
        if key in live and live[key].says != fact.says
    ]
    known = {fact.key for fact in renamed.values()}  # not strange: ours, in all likelihood
    findings += [
        _extra(fact, live)
        for key, fact in extra.items()
        if key not in known and not _beside(fact, extra)
    ]
    return sorted(findings, key=_turn)


def refused(finding: Finding, reason: str) -> Finding:
    """Return the finding as one that was not repaired."""
    return replace(finding, state=REFUSED, reason=reason)


def _turn(finding: Finding) -> tuple[int, bool, str]:
    """Order by need. Keys before what refers to them is in ORDER; primary ones come first."""
    fact = finding.fact
    return ORDER.index(fact.kind), not fact.says.startswith("PRIMARY"), fact.place


def _missing(fact: Fact, other: Fact | None, declared: Schema) -> Finding:
    statements = made(fact, declared)
    if other is not None:
        table = f"TABLE {other.place}" if other.place else f"TABLE {other.name}"
        column = f"COLUMN {other.name} " if other.place else ""
        return Finding(
            fact,
            MISSING,
            REFUSED,
            (f"ALTER {table} RENAME {column}TO {fact.name}",),
            f"{other.kind} {other.name} may be it under another name, with its rows."
            f" If it is not, run instead: {'; '.join(statements)}",
        )
    if fact.kind == "generated":
        reason = "a column that exists cannot become a generated one; it has to be made anew"
        return Finding(fact, MISSING, REFUSED, statements, reason)
    return Finding(fact, MISSING, REPAIRABLE, statements)


def _changed(fact: Fact, says: str, declared: Schema) -> Finding:
    change: Change = changed(fact, says, declared)
    state = REFUSED if change.refused else REPAIRABLE
    return Finding(fact, CHANGED, state, change.statements, change.refused)


def _extra(fact: Fact, live: Schema) -> Finding:
    in_the_way = {
        "policy": "it may show rows to somebody who must not see them",
        "grant": "a role may do what it must not",
        "trigger": "it acts on what we write",
        "rule": "it acts on what we write",
        "index": "it refuses rows that may be ours" if "UNIQUE INDEX" in fact.says else "",
        "column": "our inserts do not name it, so they fail" if _needed(fact, live) else "",
    }.get(fact.kind, "" if fact.kind in HARMLESS else "it changes or refuses what we write")
    if in_the_way:
        return Finding(fact, EXTRA, REFUSED, gone(fact), f"not ours to remove; {in_the_way}")
    return Finding(fact, EXTRA, LEFT, gone(fact), "of unknown origin, and in nobody's way")


def _needed(column: Fact, live: Schema) -> bool:
    """Say whether a column has to be named by whoever inserts."""
    has = {kind for kind in TRAITS if (kind, column.place, column.name) in live}
    return has == {"not null"}


def _part_of(fact: Fact, missing: Schema, renamed: dict[Any, Fact]) -> bool:
    """Say whether another finding covers it: a column's traits, a table that was renamed."""
    if ("table", "", fact.place.removeprefix("TABLE ")) in renamed:
        return True
    if fact.kind == "grant" and fact.place.startswith("FUNCTION "):
        return ("function", "", fact.place.removeprefix("FUNCTION ")) in missing  # comes with it
    return fact.kind in TRAITS and ("column", fact.place, fact.name) in missing


def _beside(fact: Fact, extra: Schema) -> bool:
    """Say whether it belongs to something that is not ours at all."""
    kind, _, name = fact.place.partition(" ")
    if fact.kind == "grant" and (kind.lower(), "", name) in extra:
        return True
    if fact.kind in TRAITS and ("column", fact.place, fact.name) in extra:
        return True
    return ("table", "", fact.place) in extra


def _renamed(
    missing: Schema, extra: Schema, declared: Schema, live: Schema
) -> dict[tuple[str, str, str], Fact]:
    """Return for missing tables and columns what may be them under another name.

    Making them anew, empty, beside their own rows would be worse than doing nothing.
    """
    found = {}
    for key, fact in missing.items():
        for other in extra.values():
            if fact.kind != other.kind or fact.kind not in ("table", "column"):
                continue
            if fact.kind == "column":
                alike = (fact.place, fact.says) == (other.place, other.says)
            else:
                alike = _columns(declared, fact.name) == _columns(live, other.name)
            if alike:
                found[key] = other
    return found


def _columns(schema: Schema, table: str) -> dict[str, str]:
    return {
        name: fact.says
        for (kind, place, name), fact in schema.items()
        if kind == "column" and place == table
    }
