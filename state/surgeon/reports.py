"""What the surgeon found, kept: rows of `surgery`, and an alert while something stays refused."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from state.database import ENGINE, Connection, Database, connect, has_roles
from state.errors import StatementFailed, translated
from state.surgeon.findings import REFUSED, REPAIRED, Finding

KIND = "schema"
ALERT = (
    "The database differs from the declared schema in {} ways that are not repaired by themselves;"
    " see: nexus doctor"
)

STORE = """
WITH same AS (
    UPDATE surgery SET times = times + 1, last_at = clock_timestamp()
    WHERE ended_at IS NULL AND found = $1::jsonb RETURNING surgery_id
), other AS (
    UPDATE surgery SET ended_at = clock_timestamp()
    WHERE ended_at IS NULL AND found <> $1::jsonb
)
INSERT INTO surgery (repaired, refused, found, ended_at)
SELECT $2, $3, $1::jsonb, CASE WHEN $4 THEN clock_timestamp() END
WHERE NOT EXISTS (SELECT FROM same)
"""
RAISE = """
WITH said AS (
    UPDATE alert SET message = $2 WHERE kind = $1 AND resolved_at IS NULL RETURNING alert_id
)
INSERT INTO alert (tenant, kind, subject, message)
SELECT 0, $1, 0, $2 WHERE NOT EXISTS (SELECT FROM said)
"""
END = "UPDATE surgery SET ended_at = clock_timestamp() WHERE ended_at IS NULL"
RESOLVE = """
UPDATE alert SET resolved_at = clock_timestamp(), resolved_by = 'surgeon'
WHERE kind = 'schema' AND resolved_at IS NULL
"""
PAST = """
SELECT at, last_at, times, repaired, refused, ended_at, found
FROM surgery ORDER BY surgery_id DESC LIMIT $1
"""


@dataclass(frozen=True)
class PastReport:
    """What was found once."""

    at: datetime
    last_at: datetime
    """When the same was last found."""
    times: int
    repaired: int
    refused: int
    ended_at: datetime | None
    """None: it still stands, as far as anybody has looked."""
    found: list[dict[str, Any]]
    """Findings, as documents."""


async def store(connection: Connection, findings: Sequence[Finding], *, roles: bool) -> None:
    """Keep what was found. Safe to run twice: the same again stays one row.

    Args:
        connection: as the login user, inside a transaction.
        findings: at least one.
        roles: whether to write as the engine; row level security holds even a table's owner.
    """
    refused = sum(finding.state == REFUSED for finding in findings)
    repaired = sum(finding.state == REPAIRED for finding in findings)
    found = json.dumps([finding.document() for finding in findings], sort_keys=True)
    ended = repaired == len(findings)
    await _kept(connection, roles, STORE, found, repaired, refused, ended)
    if refused:
        await _kept(connection, roles, RAISE, KIND, ALERT.format(refused))
    else:
        await _kept(connection, roles, RESOLVE)


async def _kept(connection: Connection, roles: bool, statement: str, *values: object) -> None:
    """Write as the engine; where just that is broken, the log alone tells of it."""
    with suppress(asyncpg.PostgresError):
        async with connection.transaction():
            if roles:
                await connection.execute(f"SET LOCAL ROLE {ENGINE}")
            await connection.execute(statement, *values)
    await connection.execute("RESET ROLE")


async def close(connection: Connection, *, roles: bool) -> None:
    """Note that the schema is whole: nothing stands any more. Safe to run twice."""
    become = f"SET LOCAL ROLE {ENGINE};" if roles else ""
    await connection.execute(f"BEGIN; {become} {END}; {RESOLVE}; COMMIT")


async def standing(database: Database) -> int:
    """Return how many differences the last look has refused, and that still stand."""
    async with database.engine() as connection:
        return int(
            await connection.fetchval(
                "SELECT coalesce(sum(refused), 0)::int FROM surgery WHERE ended_at IS NULL"
            )
        )


async def past_reports(dsn: str, limit: int = 5) -> list[PastReport]:
    """Return what was found before, newest first; none, when that cannot be read.

    Raises:
        DatabaseAway: Postgres does not answer.
    """
    role = ENGINE if await has_roles(dsn) else None
    connection = await connect(dsn, application="nexus surgeon", role=role)
    try:
        with translated():
            rows = await connection.fetch(PAST, limit)
    except StatementFailed:  # the table is what is missing
        return []
    finally:
        await connection.close()
    return [PastReport(**{**row, "found": json.loads(row["found"])}) for row in rows]
