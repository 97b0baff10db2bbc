"""For every kind of fact: the SQL that makes it, brings it back, or takes it away."""

from dataclasses import dataclass

from state.surgeon.facts import Fact, Schema
from state.surgeon.sources import first_rows, functions

ORDER = (
    *("role", "member", "sequence", "table", "function", "column", "identity", "default"),
    *("not null", "generated", "option", "key", "check", "reference", "index", "trigger", "rule"),
    *("row security", "policy", "grant"),
)
"""Each needs those before it: a generated column its function, a policy its table and role."""

CONSTRAINTS = ("key", "check", "reference")


@dataclass(frozen=True)
class Change:
    """How a fact that reads differently is brought back."""

    statements: tuple[str, ...]
    refused: str = ""
    """Why it is not done by itself; empty: it is, since no row depends on it."""


def made(fact: Fact, declared: Schema) -> tuple[str, ...]:
    """Return the statements that make a missing fact."""
    kind, place, name, says = fact.kind, fact.place, fact.name, fact.says
    column = f"ALTER TABLE {place} ALTER COLUMN {name}"
    match kind:
        case "role":
            return (f"CREATE ROLE {name} {says}",)
        case "member":
            return (f"GRANT {name} TO current_user",)
        case "sequence":
            return (f"CREATE SEQUENCE {name} {says}",)
        case "table":
            unlogged = "UNLOGGED " if says == "UNLOGGED" else ""
            return (f"CREATE {unlogged}TABLE {name} ()",)
        case "function":
            return (functions()[name.partition("(")[0]],)
        case "column":
            return (f"ALTER TABLE {place} ADD COLUMN {name} {says}{_traits(fact, declared)}",)
        case "identity":
            return (f"{column} ADD GENERATED {says} AS IDENTITY",)
        case "default":
            return (f"{column} SET DEFAULT {says}",)
        case "not null":
            return (f"{column} SET NOT NULL",)
        case "generated":
            return _column_anew(fact, declared)
        case "option":
            return (f"ALTER TABLE {place} SET ({name} = {says})",)
        case "index" | "trigger":
            return (says,)
        case "row security":
            return (f"ALTER TABLE {place} {name} ROW LEVEL SECURITY",)
        case "policy":
            return (f"CREATE POLICY {name} ON {place} {says}",)
        case "grant":
            role, _, word = name.partition(" ")
            return (f"GRANT {word} ON {place} TO {role}",)
        case _:
            return (f"ALTER TABLE {place} ADD CONSTRAINT {name} {says}",)


def filled(table: str) -> tuple[str, ...]:
    """Return the statements that put a new table's first rows in."""
    return (first_rows()[table],) if table in first_rows() else ()


def changed(fact: Fact, says: str, declared: Schema) -> Change:
    """Return how a fact that says something else now is brought back to what is declared.

    Code (functions, triggers, policies) is replaced: no row depends on its text. What is only
    unfinished (not validated, invalid, disabled) is finished. All else somebody decides.
    """
    kind, place, name = fact.kind, fact.place, fact.name
    anew = (*gone(fact), *made(fact, declared))
    match kind:
        case "function":
            return Change(made(fact, declared))
        case "policy":
            return Change(anew)
        case "trigger":
            replaced = fact.says.replace("CREATE TRIGGER", "CREATE OR REPLACE TRIGGER", 1)
            return Change((replaced, f"ALTER TABLE {place} ENABLE TRIGGER {name}"))
        case "index" if says == f"{fact.says} INVALID":
            return Change((f"REINDEX INDEX {name}",))
        case "index":
            return Change(anew, "somebody made it so, and queries may rely on it")
        case "key" | "check" | "reference" if says == f"{fact.says} NOT VALID":
            return Change((f"ALTER TABLE {place} VALIDATE CONSTRAINT {name}",))
        case "key" | "check" | "reference":
            return Change(anew, "rows may have been written that only the other rule allows")
        case "column":
            change = f"ALTER TABLE {place} ALTER COLUMN {name} TYPE {fact.says} USING"
            return Change(
                (f"{change} {name}::{fact.says}",),
                f"it holds {says}: turning that into {fact.says} may lose what its rows say",
            )
        case "generated":
            return Change(anew, "the column has to be made anew, and its values with it")
        case "table":
            return Change(
                (f"ALTER TABLE {name} SET {fact.says}",),
                f"it is {says.lower()}; changing that writes the whole table again",
            )
        case "role":
            harmless = "NOLOGIN NOSUPERUSER NOBYPASSRLS"
            return Change(
                (f"ALTER ROLE {name} {harmless}",),
                f"it is {says}: row level security may not hold it; roles belong to the server",
            )
        case "sequence":
            return Change((f"ALTER SEQUENCE {name} {fact.says}",), "numbers may be given out twice")
        case "identity":
            return Change(
                (f"ALTER TABLE {place} ALTER COLUMN {name} SET GENERATED {fact.says}",),
                f"it is {says} now, so somebody may write numbers of his own",
            )
        case _:  # default, option
            return Change(made(fact, declared), f"somebody has set it to {says}")


def gone(fact: Fact) -> tuple[str, ...]:
    """Return the statements that take a fact away."""
    kind, place, name = fact.kind, fact.place, fact.name
    match kind:
        case "table" | "sequence" | "index" | "function":
            return (f"DROP {kind.upper()} {name}",)
        case "column":
            return (f"ALTER TABLE {place} DROP COLUMN {name}",)
        case "default" | "identity" | "not null":
            return (f"ALTER TABLE {place} ALTER COLUMN {name} DROP {kind.upper()}",)
        case "generated":
            return (f"ALTER TABLE {place} DROP COLUMN {name}",)
        case "option":
            return (f"ALTER TABLE {place} RESET ({name})",)
        case "trigger" | "rule" | "policy":
            return (f"DROP {kind.upper()} {name} ON {place}",)
        case "row security":
            no = "DISABLE" if name == "ENABLE" else "NO FORCE"
            return (f"ALTER TABLE {place} {no} ROW LEVEL SECURITY",)
        case "grant":
            role, _, word = name.partition(" ")
            return (f"REVOKE {word} ON {place} FROM {role}, PUBLIC",)
        case _:
            return (f"ALTER TABLE {place} DROP CONSTRAINT {name}",)


def _traits(column: Fact, declared: Schema) -> str:
    """Return what is declared of a column besides its type."""
    told = []
    for kind, text in (
        ("generated", "GENERATED ALWAYS AS ({}) STORED"),
        ("identity", "GENERATED {} AS IDENTITY"),
        ("default", "DEFAULT {}"),
        ("not null", "NOT NULL"),
    ):
        trait = declared.get((kind, column.place, column.name))
        if trait is not None:
            told.append(" " + text.format(trait.says))
    return "".join(told)


def _column_anew(fact: Fact, declared: Schema) -> tuple[str, ...]:
    column = declared["column", fact.place, fact.name]
    return (*gone(fact), *made(column, declared))
