"""Which worker is alive (`state/routines/50_lease.sql`)."""

import os
import socket
from collections.abc import Sequence
from typing import NamedTuple

from state.database import Connection, repeated
from state.work import Claimed


class Swept(NamedTuple):
    """What a look at the other workers found."""

    reaped: int
    """Rows taken back from the dead."""
    doubtful: int
    """Workers whose session lock is free, seen for the first time: look again soon."""


async def register_worker(connection: Connection, lease_seconds: float, solo: bool) -> int:
    """Begin a worker's life: its row, and the session lock that shows a killed process.

    The lock is taken by the statement that inserts the row, so nobody sees the row without it.
    """
    worker = await connection.fetchval(
        """
        WITH born AS (
            INSERT INTO worker (host, pid, solo, lease_until)
            VALUES ($1, $2, $3, clock_timestamp() + make_interval(secs => $4)) RETURNING worker_id)
        SELECT worker_id FROM born, LATERAL (SELECT pg_advisory_lock(2, worker_id)) held
        """,
        socket.gethostname(),
        os.getpid(),
        solo,
        lease_seconds,
    )
    return int(worker)


async def retake_lock(connection: Connection, worker: int) -> None:
    """Take the session lock again on a new connection."""
    await connection.execute("SELECT pg_advisory_lock(2, $1)", worker)


async def renew(connection: Connection, worker: int, lease_seconds: float) -> bool:
    """Prolong the lease; False: we were declared dead."""
    row = await connection.fetchval(
        "UPDATE worker SET lease_until = clock_timestamp() + make_interval(secs => $2)"
        " WHERE worker_id = $1 AND NOT ended RETURNING true",
        worker,
        lease_seconds,
    )
    return bool(row)


async def sweep(connection: Connection, worker: int, trust: bool) -> Swept:
    """Take back what dead workers hold. Safe to run anywhere, any number of times.

    Args:
        connection: as the engine.
        worker: our number.
        trust: False shortly after our own connection broke: the others are reconnecting too.
    """
    row = await repeated(
        lambda: connection.fetchrow("SELECT reaped, doubtful FROM sweep($1, $2)", worker, trust)
    )
    assert row is not None  # noqa: S101 - the routine returns one row
    return Swept(row["reaped"], row["doubtful"])


async def leave(connection: Connection, worker: int) -> int:
    """End a worker's life in order: what it still holds is free, and nothing is blamed."""
    freed = await repeated(lambda: connection.fetchval("SELECT reap($1, false)", worker))
    return int(freed or 0)


async def reconcile(connection: Connection, worker: int, held: Sequence[Claimed]) -> list[int]:
    """After a broken connection, make tables and process agree.

    A turn may have committed without our hearing of it, or a claim may have been lost with the
    server. No turn may be under way.

    Args:
        connection: a new one.
        worker: our number.
        held: all attempts in this process whose end is not stored yet.

    Returns:
        Ids in `held` that are not ours: their attempts have to stop.

    Raises:
        WorkerEnded: we were declared dead.
    """
    rows = await repeated(
        lambda: connection.fetch(
            "SELECT id FROM reconcile($1, $2, $3, $4, $5) AS r (id)",
            worker,
            [one.id for one in held],
            [one.epoch for one in held],
            [one.tenant for one in held],
            [one.lane for one in held],
        )
    )
    return [row["id"] for row in rows]


async def asked_to_cancel(connection: Connection, worker: int) -> list[int]:
    """Return ids of our running invocations that somebody wants to end."""
    rows = await connection.fetch("SELECT id FROM cancellation WHERE worker = $1", worker)
    return [row["id"] for row in rows]


async def suspects_wait(connection: Connection, fns: Sequence[int]) -> bool:
    """Say whether suspects of a crash wait for a worker that runs one attempt at a time."""
    return bool(
        await connection.fetchval(
            """
            SELECT EXISTS (SELECT FROM work WHERE fn = ANY ($1::int[]) AND suspect
                           AND worker IS NULL AND lane IS NULL AND run_at <= clock_timestamp())
                OR EXISTS (SELECT FROM lane WHERE fn = ANY ($1::int[]) AND suspect
                           AND worker IS NULL AND run_at <= clock_timestamp())
            """,
            fns,
        )
    )
