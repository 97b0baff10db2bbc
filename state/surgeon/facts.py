"""What a schema consists of: facts, as the live database and the declaration tell them."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from state.database import Connection
from state.migrate import files

HERE = Path(__file__).parent
DECLARED = HERE / "declared.json"

OF_ROLES = frozenset({"role", "member", "row security", "policy", "grant"})
"""Kinds that a server without our roles has none of."""


class Fact(NamedTuple):
    """One thing about a schema, named by kind, place and name."""

    kind: str
    """table, column, default, not null, key, index, policy, grant, …: see facts.sql."""
    place: str
    """The table; what a grant is on; '' for what stands alone."""
    name: str
    says: str
    """A type, an expression, a definition: as this kind has it."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What is compared with what."""
        return self[:3]


Schema = dict[tuple[str, str, str], Fact]


async def live_schema(connection: Connection, *, roles: bool) -> Schema:
    """Return what is there now: one statement, and nothing is locked.

    Args:
        connection: as the login user.
        roles: False: leave out what concerns roles.
    """
    return _schema(await connection.fetch(_query()), roles)


def declared_schema(*, roles: bool) -> Schema:
    """Return what should be there."""
    return _schema(json.loads(_declared())["facts"], roles)


def declaration(facts: Schema) -> str:
    """Return the text of declared.json: a line per fact, so that two branches merge."""
    rows = [
        json.dumps([fact.kind, fact.place, fact.name, fact.says], ensure_ascii=False)
        for fact in facts.values()
    ]
    return f'{{"sources": "{sources_digest()}",\n "facts": [\n' + ",\n".join(rows) + "\n]}\n"


def is_current() -> bool:
    """Say whether declared.json was made from the migrations and routines as they are now.

    If it was not, acting on it could undo what a developer has just written.
    """
    return sources_digest() in _declared().partition("\n")[0]


def sources_digest() -> str:
    """Return a digest of everything that the declared schema is made from."""
    digest = hashlib.sha256()
    for path in [each for group in files() for each in group]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _schema(rows: Iterable[Sequence[str]], roles: bool) -> Schema:
    facts = [Fact(*row) for row in rows]
    return {fact.key: fact for fact in facts if roles or fact.kind not in OF_ROLES}


def _declared() -> str:
    return DECLARED.read_text(encoding="utf-8")


def _query() -> str:
    return (HERE / "facts.sql").read_text(encoding="utf-8")
