"""Examine a database, and operate on it: one transaction, under the lock of migrations.

It is safe to run twice, and at once in any number of processes: each waits for the lock and looks
again. Killed in the middle it has done nothing, and the next one does it.
"""

from dataclasses import dataclass, replace
from typing import Any

import asyncpg

from state.database import ENGINE, Connection, connect
from state.errors import AWAY, translated
from state.migrate import LOCK, Standing, standing
from state.surgeon.facts import Fact, Schema, declared_schema, is_current, live_schema
from state.surgeon.findings import REFUSED, REPAIRABLE, REPAIRED, Finding, compare, refused
from state.surgeon.numbers import used_in
from state.surgeon.reports import close, store
from state.surgeon.statements import filled

LOCK_SECONDS = 10
"""A repair waits this long for those who use the table; then it is left to the next start."""

NO_EFFECT = "Postgres accepted the statement and the difference is still there"


@dataclass(frozen=True)
class Report:
    """What an examination or an operation came to."""

    findings: tuple[Finding, ...] = ()
    missing: tuple[str, ...] = ()
    """Files that have to be migrated first; nothing was compared then."""
    skipped: str = ""
    """Why nothing was compared; empty: it was."""

    def of(self, state: str) -> list[Finding]:
        """Return the findings in one state: repairable, repaired, refused, left."""
        return [finding for finding in self.findings if finding.state == state]

    @property
    def startable(self) -> bool:
        """Whether the engine has every part of its own; see `Finding.stops`."""
        return not any(finding.stops for finding in self.findings)

    @property
    def whole(self) -> bool:
        """Whether nothing is left to be done."""
        return not self.skipped and not (self.of(REPAIRABLE) or self.of(REFUSED))


async def examine(dsn: str) -> Report:
    """Compare, and change nothing.

    Raises:
        DatabaseAway: Postgres does not answer.
        StatementFailed: the login user may not read the ledger of migrations.
    """
    connection = await connect(dsn, application="nexus surgeon", role=None)
    try:
        with translated():
            return await _examined(connection, await standing(connection))
    finally:
        await connection.close()


async def operate(dsn: str) -> Report:
    """Compare, repair what only adds, and keep a report when something was found.

    An intact schema costs two statements, and neither waits for anybody.

    Raises:
        DatabaseAway: Postgres does not answer, or went away: then nothing was done.
        StatementFailed: the login user may not read the ledger of migrations.
    """
    connection = await connect(dsn, application="nexus surgeon", role=None, settings={"jit": "off"})
    try:
        with translated():
            at = await standing(connection)
            report = await _examined(connection, at)
            if report.findings:
                await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
                at = await standing(connection)  # somebody may have migrated or repaired meanwhile
                report = await _examined(connection, at)
            if report.findings:
                report = await _operated(connection, report, at.roles)
            elif not report.skipped:
                await close(connection, roles=at.roles)
            return report
    finally:
        await connection.close()


async def _examined(connection: Connection, at: Standing) -> Report:
    if at.newer:
        return Report(skipped=f"a newer version migrated this database ({', '.join(at.newer)})")
    if at.missing:
        return Report(
            missing=tuple(at.missing),
            skipped=f"{len(at.missing)} files have to be migrated first; run: nexus migrate",
        )
    if not is_current():
        return Report(
            skipped="state/surgeon/declared.json is older than the migrations and routines;"
            " run: python -m scripts.declare_schema"
        )
    live = await live_schema(connection, roles=at.roles)
    return Report(tuple(compare(declared_schema(roles=at.roles), live)))


async def _operated(connection: Connection, report: Report, roles: bool) -> Report:
    """Repair one after the other; what Postgres refuses is undone alone."""
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        await connection.execute("SET LOCAL check_function_bodies = off")  # tables come later
        done = [
            await _repaired(connection, finding) if finding.state == REPAIRABLE else finding
            for finding in report.findings
        ]
        declared = declared_schema(roles=roles)
        live = await live_schema(connection, roles=roles)
        for finding in done:
            if finding.state == REPAIRED:
                await _complete(connection, finding.fact, declared, live, roles)
        left = {finding.fact.key for finding in compare(declared, live)}
        findings = [
            refused(finding, NO_EFFECT)
            if finding.state == REPAIRED and finding.fact.key in left
            else finding
            for finding in done
        ]
        await store(connection, findings, roles=roles)
    return replace(report, findings=tuple(findings))


async def _repaired(connection: Connection, finding: Finding) -> Finding:
    """Run the statements of one finding. Rows decide: a check that they break is not added."""
    try:
        async with connection.transaction():
            for statement in finding.statements:
                await connection.execute(statement)
    except AWAY:
        raise
    except asyncpg.PostgresError as error:
        # The first line alone: the others quote rows.
        return refused(finding, f"Postgres refuses: {str(error).partition(chr(10))[0]}")
    return replace(finding, state=REPAIRED)


async def _complete(
    connection: Connection, fact: Fact, declared: Schema, live: Schema, roles: bool
) -> None:
    """Give a new table its first rows, and a new sequence the place where numbers go on.

    As the engine: row level security would show the owner of the tables no rows at all. What
    fails here takes everything back, since half of it would be worse than none.
    """
    if fact.kind == "table":
        for statement in filled(fact.name):
            await _as_engine(connection, statement, roles)
    numbered = fact.kind == "column" and ("identity", fact.place, fact.name) in declared
    if not numbered and fact.kind not in ("identity", "sequence"):
        return
    last = 0
    for table, column in used_in(fact.kind, fact.place, fact.name, declared):
        if ("column", table, column) in live:
            query = f"SELECT coalesce(max({column}), 0) FROM {table}"  # noqa: S608 - declared names
            last = max(last, await _as_engine(connection, query, roles))
    sequence = fact.name
    if fact.kind != "sequence":
        serial = "SELECT pg_get_serial_sequence($1, $2)"
        sequence = await connection.fetchval(serial, fact.place, fact.name.strip('"'))
    await connection.execute(
        "SELECT setval($1::text::regclass, $2, $3)", sequence, max(last, 1), last > 0
    )


async def _as_engine(connection: Connection, statement: str, roles: bool) -> Any:
    if roles:
        await connection.execute(f"SET LOCAL ROLE {ENGINE}")
    value = await connection.fetchval(statement)
    await connection.execute("RESET ROLE")
    return value
