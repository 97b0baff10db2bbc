"""The intake clock: seconds during which statuses could reach us, while a send waits for one.

`gateway/pulse.py` says why each condition is there.
"""

from datetime import datetime

from state.database import Connection

OPEN = """
SELECT clock_timestamp() WHERE EXISTS (SELECT FROM send_attempt WHERE state = 'intent')
"""

TICK = """
UPDATE intake_clock
SET ticks = ticks + 1,
    unread_seconds = coalesce((
        SELECT greatest(extract(epoch FROM clock_timestamp() - min(i.created_at)), 0)
        FROM function f JOIN work w ON w.fn = f.fn JOIN invocation i ON i.id = w.id
        WHERE f.name = 'webhook_intake' AND w.tenant = 0), 0),
    gap_at = CASE WHEN abs(extract(epoch FROM clock_timestamp() - at)) > 3 AND EXISTS (
        SELECT FROM send_attempt
        WHERE state = 'intent' AND started_at < clock_timestamp() - interval '3 seconds')
        THEN clock_timestamp() ELSE gap_at END,
    at = clock_timestamp()
WHERE id = 1 AND clock_timestamp() < $1::timestamptz + interval '2 seconds'
  AND (at <= clock_timestamp() - interval '0.9 seconds'
       OR at > clock_timestamp() + interval '1 second')
"""

ALARM = """
INSERT INTO alert (tenant, kind, subject, message) VALUES (0, 'intake', 0, $1)
ON CONFLICT (kind, subject) WHERE resolved_at IS NULL DO NOTHING
"""


async def asked_at(connection: Connection) -> datetime | None:
    """Return Postgres' time when some send waits for its fate; None: nobody asks for the clock.

    As engine: sends of all shops count.
    """
    found: datetime | None = await connection.fetchval(OPEN)
    return found


async def tick(connection: Connection, asked: datetime) -> None:
    """Count one second of open doors. As engine.

    Args:
        connection: of the engine.
        asked: what `asked_at` returned before the doors were tried: an old proof counts nothing.
    """
    await connection.execute(TICK, asked)


async def tell_closed(connection: Connection, message: str) -> None:
    """Tell people that statuses cannot reach us while sends wait for them. As engine."""
    await connection.execute(ALARM, message)
