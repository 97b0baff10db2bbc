"""Who did what: a log in which each row seals the one before.

A row that is changed or taken out later breaks the chain, and `verify` names the first break.
Rows hold ids, never content.
"""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from state.database import Connection

FIRST = b"\x00" * 32
LOCK = 4


def seal(
    previous: bytes,
    at: datetime,
    actor: str,
    tenant: int | None,
    action: str,
    subject: str,
    detail: dict[str, Any],
) -> bytes:
    """Return the hash of a row and everything before it."""
    text = json.dumps(
        [at.astimezone(UTC).isoformat(), actor, tenant, action, subject, detail],
        sort_keys=True,
        separators=(",", ":"),
    )
    return hashlib.sha256(previous + text.encode()).digest()


async def record(
    connection: Connection,
    *,
    actor: str,
    action: str,
    subject: str,
    tenant: int | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    """Append a row, in the transaction of what it tells of.

    Args:
        connection: as the engine, inside a transaction.
        actor: who: `cli`, `session:<fingerprint>`, a function's name.
        action: what, as `noun.verb`.
        subject: of what: an id.
        tenant: whose; None: the installation's.
        detail: more ids and numbers.
    """
    # One writer at a time: the chain is a line.
    await connection.execute("SELECT pg_advisory_xact_lock($1, 0)", LOCK)
    previous = await connection.fetchval(
        "SELECT hash FROM audit_log ORDER BY audit_id DESC LIMIT 1"
    )
    at = await connection.fetchval("SELECT clock_timestamp()")
    previous = previous or FIRST
    detail = detail or {}
    await connection.execute(
        "INSERT INTO audit_log (at, actor, tenant, action, subject, detail, previous_hash, hash)"
        " VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7, $8)",
        at,
        actor,
        tenant,
        action,
        subject,
        json.dumps(detail),
        previous,
        seal(previous, at, actor, tenant, action, subject, detail),
    )


async def verify(connection: Connection) -> int | None:
    """Return the number of the first row that does not fit the chain; None: all do."""
    previous = FIRST
    async with connection.transaction(readonly=True):
        async for row in connection.cursor("SELECT * FROM audit_log ORDER BY audit_id"):
            expected = seal(
                previous,
                row["at"],
                row["actor"],
                row["tenant"],
                row["action"],
                row["subject"],
                json.loads(row["detail"]),
            )
            if row["previous_hash"] != previous or row["hash"] != expected:
                return int(row["audit_id"])
            previous = row["hash"]
    return None
