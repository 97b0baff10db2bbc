"""What a person has to see."""

from dataclasses import dataclass
from datetime import datetime

from state.audit import record
from state.database import Database


@dataclass(frozen=True)
class Alert:
    """One open alert."""

    id: int
    tenant: int
    kind: str
    """For instance `dead`."""
    subject: int
    """The invocation's number, for kind `dead`."""
    message: str
    created_at: datetime


class Alerts:
    """Alerts of the whole installation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, limit: int = 100) -> list[Alert]:
        """Return unresolved alerts, newest first."""
        async with self._database.engine() as connection:
            rows = await connection.fetch(
                "SELECT alert_id, tenant, kind, subject, message, created_at FROM alert"
                " WHERE resolved_at IS NULL ORDER BY alert_id DESC LIMIT $1",
                limit,
            )
        return [Alert(*row) for row in rows]

    async def resolve(self, alert: int, *, actor: str) -> bool:
        """Mark an alert as dealt with; False: it was not open. Safe to run twice."""
        async with self._database.engine() as connection, connection.transaction():
            row = await connection.fetchrow(
                "UPDATE alert SET resolved_at = clock_timestamp(), resolved_by = $2"
                " WHERE alert_id = $1 AND resolved_at IS NULL RETURNING tenant, subject",
                alert,
                actor,
            )
            if row is None:
                return False
            await connection.execute(
                "INSERT INTO change (tenant, topic, ids) VALUES ($1, 'alert', ARRAY[$2::bigint])",
                row["tenant"],
                row["subject"],
            )
            await record(
                connection,
                actor=actor,
                action="alert.resolve",
                subject=str(alert),
                tenant=row["tenant"],
            )
        return True
