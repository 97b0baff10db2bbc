"""A number for each function's name, the same in every process."""

from collections.abc import Sequence
from typing import NamedTuple

from state.database import Connection, repeated

MERGE, SUPERSEDE, STEER = b"m", b"s", b"t"


class Declared(NamedTuple):
    """What the engine's tables know of a function."""

    name: str
    quiet_seconds: float | None
    cap_seconds: float | None
    deadline_seconds: float | None = None
    """No attempt starts later than this after the event was due. None: never too late."""
    burst: bytes | None = None
    """How bursts of a lane are taken (`MERGE` …). None: in plain order."""


async def number_functions(connection: Connection, declared: Sequence[Declared]) -> dict[str, int]:
    """Store these functions and return their numbers by name.

    Safe to run twice: a known name keeps its number; only what changed is written.
    """
    ordered = sorted(declared, key=lambda one: one.name)
    rows = await repeated(
        lambda: connection.fetch(
            """
            WITH asked AS (
                SELECT * FROM unnest($1::text[], $2::float8[], $3::float8[], $4::float8[],
                                     $5::"char"[]) u (name, quiet, cap, deadline, burst)),
            stored AS (
                INSERT INTO function AS f
                    (name, quiet_seconds, cap_seconds, deadline_seconds, burst)
                SELECT a.name, a.quiet, a.cap, a.deadline, a.burst FROM asked a
                WHERE NOT EXISTS (
                    SELECT FROM function g WHERE g.name = a.name
                    AND (g.quiet_seconds, g.cap_seconds, g.deadline_seconds, g.burst)
                        IS NOT DISTINCT FROM (a.quiet, a.cap, a.deadline, a.burst))
                ORDER BY a.name
                ON CONFLICT (name) DO UPDATE SET quiet_seconds = excluded.quiet_seconds,
                                                 cap_seconds = excluded.cap_seconds,
                                                 deadline_seconds = excluded.deadline_seconds,
                                                 burst = excluded.burst
                RETURNING f.name, f.fn)
            SELECT name, fn FROM stored
            UNION SELECT f.name, f.fn FROM function f WHERE f.name = ANY ($1::text[])
            """,
            [one.name for one in ordered],
            [one.quiet_seconds for one in ordered],
            [one.cap_seconds for one in ordered],
            [one.deadline_seconds for one in ordered],
            [one.burst for one in ordered],
        )
    )
    return {row["name"]: row["fn"] for row in rows}
