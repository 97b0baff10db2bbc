"""Domains of shops: names under which the public door answers too. This table is the truth."""

from datetime import datetime
from typing import NamedTuple

from state.audit import record
from state.database import Connection
from state.queries import load
from state.rules.domain_names import above, is_wildcard, shown

SQL = load("domains")
LOCK = 5


class Domain(NamedTuple):
    """One domain of one shop."""

    domain_id: int
    tenant: int
    shop: str
    """The shop's name."""
    name: str
    """A-labels in small letters; `*.…`: every name one level below."""
    added_at: datetime
    applied_at: datetime | None
    """When Caddy was first seen to admit it; None: not yet."""

    @property
    def unicode(self) -> str:
        """As people write it."""
        return shown(self.name)

    @property
    def wildcard(self) -> bool:
        """Whether it stands for every name one level below."""
        return is_wildcard(self.name)


async def domains(connection: Connection, tenant: int | None = None) -> list[Domain]:
    """Return a shop's domains, by name; None: every shop's. As engine."""
    return [Domain(*row) for row in await connection.fetch(SQL["all"], tenant)]


async def add_domain(connection: Connection, tenant: int, name: str, *, actor: str) -> Domain:
    """Return that domain of a shop, added if it was not there. As engine; safe to run twice.

    Args:
        connection: as the engine, inside a transaction.
        tenant: the shop's number.
        name: as `parse_domain` returns it.
        actor: who adds it, for the audit log.

    Raises:
        LookupError: another shop has it, or one that covers it, or one that it would cover.
    """
    # One at a time: a wildcard and a name below it are two rows, which no unique index compares.
    await connection.execute("SELECT pg_advisory_xact_lock($1, 0)", LOCK)
    other = await connection.fetchval(SQL["others"], tenant, name, f"*.{above(name)}", above(name))
    if other is not None:
        raise LookupError(other)
    added = await connection.fetchval(SQL["add"], tenant, name)
    if added is not None:
        await record(
            connection, actor=actor, action="domain.add", subject=str(added), tenant=tenant
        )
    return Domain(*await connection.fetchrow(SQL["one"], name))


async def remove_domain(
    connection: Connection, name: str, *, tenant: int | None = None, actor: str
) -> bool:
    """Forget a domain. As engine, inside a transaction. False: there was none; safe to run twice.

    Args:
        connection: as the engine, inside a transaction.
        name: as `parse_domain` returns it.
        tenant: only if it belongs to this shop; None: whose it may be.
        actor: who removes it, for the audit log.
    """
    row = await connection.fetchrow(SQL["remove"], name, tenant)
    if row is None:
        return False
    await record(
        connection,
        actor=actor,
        action="domain.remove",
        subject=str(row["domain_id"]),
        tenant=row["tenant"],
    )
    return True


async def note_applied(connection: Connection, names: list[str]) -> None:
    """Remember that Caddy admits these now. As engine; safe to run twice."""
    await connection.execute(SQL["applied"], names)


async def note_reached(connection: Connection) -> None:
    """Remember that a gateway reaches Caddy's admin API at this moment. As engine."""
    await connection.execute(SQL["reached"])


async def seconds_since_reached(connection: Connection) -> float | None:
    """Return how long ago a gateway last reached Caddy's admin API; None: never. As engine."""
    found: float | None = await connection.fetchval(SQL["since"])
    return found
