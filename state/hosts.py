"""Alerts about other hosts that run functions of ours and do not answer."""

from collections.abc import Mapping

from state.database import Connection

TELL = """
WITH told AS (
    INSERT INTO alert (tenant, kind, subject, message)
    SELECT 0, 'host', f.fn, u.message FROM unnest($1::text[], $2::text[]) u (name, message)
    JOIN function f ON f.name = u.name
    ON CONFLICT (kind, subject) WHERE resolved_at IS NULL DO NOTHING RETURNING subject)
INSERT INTO change (tenant, topic, ids) SELECT 0, 'alert', ARRAY[subject] FROM told
"""

SETTLE = """
WITH settled AS (
    UPDATE alert a SET resolved_at = clock_timestamp(), resolved_by = 'nexus'
    FROM function f WHERE a.kind = 'host' AND a.resolved_at IS NULL
    AND a.subject = f.fn AND f.name = ANY ($1::text[]) RETURNING a.subject)
INSERT INTO change (tenant, topic, ids) SELECT 0, 'alert', ARRAY[subject] FROM settled
"""


async def tell_away(connection: Connection, messages: Mapping[str, str]) -> None:
    """Tell people that functions wait for their host, one alert each. As engine. Safe to repeat.

    Args:
        connection: of the engine.
        messages: by function.
    """
    await connection.execute(TELL, list(messages), list(messages.values()))


async def settle(connection: Connection, functions: list[str]) -> None:
    """Close these functions' alerts: their host answers again. As engine. Safe to run twice."""
    await connection.execute(SETTLE, functions)
