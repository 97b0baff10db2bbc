"""A number for each function's name, the same in every process."""

from collections.abc import Sequence
from typing import NamedTuple

from state.database import Connection, repeated


class Declared(NamedTuple):
    """What the engine's tables know of a function."""

    name: str
    quiet_seconds: float | None
    cap_seconds: float | None


async def number_functions(connection: Connection, declared: Sequence[Declared]) -> dict[str, int]:
    """Store these functions and return their numbers by name.

    Safe to run twice: a known name keeps its number; only what changed is written.
    """
    ordered = sorted(declared)
    rows = await repeated(
        lambda: connection.fetch(
            """
            WITH asked AS (
                SELECT * FROM unnest($1::text[], $2::float8[], $3::float8[]) u (name, quiet, cap)),
            stored AS (
                INSERT INTO function AS f (name, quiet_seconds, cap_seconds)
                SELECT a.name, a.quiet, a.cap FROM asked a
                WHERE NOT EXISTS (
                    SELECT FROM function g WHERE g.name = a.name
                    AND (g.quiet_seconds, g.cap_seconds) IS NOT DISTINCT FROM (a.quiet, a.cap))
                ORDER BY a.name
                ON CONFLICT (name) DO UPDATE SET quiet_seconds = excluded.quiet_seconds,
                                                 cap_seconds = excluded.cap_seconds
                RETURNING f.name, f.fn)
            SELECT name, fn FROM stored
            UNION SELECT f.name, f.fn FROM function f WHERE f.name = ANY ($1::text[])
            """,
            [one.name for one in ordered],
            [one.quiet_seconds for one in ordered],
            [one.cap_seconds for one in ordered],
        )
    )
    return {row["name"]: row["fn"] for row in rows}
