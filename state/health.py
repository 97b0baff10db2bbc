"""How the database and its work are."""

from dataclasses import dataclass

from state.database import Connection, Database
from state.errors import DatabaseUnfit

UNSAFE_WHEN_OFF = ("fsync", "synchronous_commit", "full_page_writes")


@dataclass(frozen=True)
class DatabaseHealth:
    """Counts of the whole installation."""

    version: str
    workers: int
    """Workers whose lease runs."""
    waiting: int
    """Invocations that could run now, or later."""
    running: int
    dead: int
    """Invocations that ended as dead and whose alert is open."""
    oldest_waiting_seconds: float
    """How long the oldest invocation that could run has waited."""
    alerts: int
    oddities: int
    """Parts of deliveries that nobody could take, of the last 24 hours."""


async def database_health(database: Database) -> DatabaseHealth:
    """Return the counts. One statement."""
    async with database.engine() as connection:
        row = await connection.fetchrow(
            """
            WITH owed AS (
                SELECT w.run_at,
                       w.lane IS NOT NULL AND w.id > min(w.id) FILTER (WHERE w.lane IS NOT NULL)
                           OVER (PARTITION BY w.tenant, w.lane) AS behind,
                       coalesce(w.worker, x.worker) IS NOT NULL AS owned
                FROM work w LEFT JOIN lane x ON x.tenant = w.tenant AND x.lane = w.lane)
            SELECT current_setting('server_version') AS version,
                   (SELECT count(*) FROM worker WHERE NOT ended AND NOT solo
                    AND lease_until > clock_timestamp())::int AS workers,
                   (SELECT count(*) FROM owed WHERE NOT owned OR behind)::int AS waiting,
                   (SELECT count(*) FROM owed WHERE owned AND NOT behind)::int AS running,
                   (SELECT count(*) FROM alert WHERE kind = 'dead'
                    AND resolved_at IS NULL)::int AS dead,
                   coalesce(extract(epoch FROM clock_timestamp() - (
                       SELECT min(run_at) FROM owed WHERE NOT owned
                       AND run_at <= clock_timestamp()))::float8, 0) AS oldest_waiting_seconds,
                   (SELECT count(*) FROM alert WHERE resolved_at IS NULL)::int AS alerts,
                   (SELECT count(*) FROM oddity WHERE created_at
                    > clock_timestamp() - interval '1 day')::int AS oddities
            """
        )
    assert row is not None  # noqa: S101 - one row of scalars
    return DatabaseHealth(**dict(row))


async def check_durability(connection: Connection) -> None:
    """Refuse a server that acknowledges what it may still lose.

    Raises:
        DatabaseUnfit: names the setting.
    """
    for name in UNSAFE_WHEN_OFF:
        value = await connection.fetchval("SELECT current_setting($1)", name)
        if value == "off":
            raise DatabaseUnfit(
                f"Postgres runs with {name}={value}: a commit that it reported may be lost in a"
                f" crash. Set {name}=on"
            )
