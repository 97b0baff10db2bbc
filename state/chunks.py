"""What functions emit while they run: stored under the fence, read from any point on."""

from collections.abc import Sequence
from typing import NamedTuple

from state.database import Connection, repeated
from state.errors import translated
from state.work import Claimed


class Chunk(NamedTuple):
    """One chunk to be stored, of an attempt that is ours."""

    claimed: Claimed
    place: int
    """1 is the first of its attempt."""
    text: str | None
    """JSON; None: no chunk, only have followers look again."""


class Row(NamedTuple):
    """Something that is stored for who follows an invocation: a chunk, or its outcome."""

    reader: int
    """Which of the given positions it is for, from 0."""
    epoch: int
    place: int | None
    """None: this is the outcome."""
    data: str | None
    """JSON of a chunk or a result; of a bad outcome, the reason."""
    state: bytes | None
    """Of the outcome: d, x or c."""


class Position(NamedTuple):
    """What somebody has read of an invocation's stream."""

    id: int
    epoch: int
    place: int


async def record_chunks(connection: Connection, worker: int, chunks: Sequence[Chunk]) -> set[int]:
    """Store chunks of any number of attempts, tell who follows, return the ids that are not ours.

    Safe to run twice: what is there stays. They are flushed to disk before a follower can see
    them; else a crash of Postgres could give the same places to other chunks.

    Raises:
        WorkerEnded: we were declared dead.
        DatabaseAway: they may or may not be stored.
    """
    rows = await repeated(
        lambda: connection.fetch(
            "SELECT record_chunks($1, $2, $3, $4, $5, $6, $7)",
            worker,
            [one.claimed.id for one in chunks],
            [one.claimed.epoch for one in chunks],
            [one.claimed.tenant for one in chunks],
            [one.claimed.lane for one in chunks],
            [one.place for one in chunks],
            [one.text for one in chunks],
        )
    )
    return {row[0] for row in rows}


READ = """
WITH f AS MATERIALIZED (
    SELECT f.*, (f.number - 1)::int AS reader FROM unnest($1::bigint[], $2::bigint[], $3::int[])
        WITH ORDINALITY f (id, epoch, place, number))
SELECT f.reader, n.epoch, c.place, c.data, NULL::"char" FROM f
CROSS JOIN LATERAL (SELECT epoch FROM chunk WHERE id = f.id ORDER BY epoch DESC LIMIT 1) n
CROSS JOIN LATERAL (
    SELECT place, data FROM chunk WHERE id = f.id AND epoch = n.epoch
    AND place > CASE WHEN n.epoch = f.epoch THEN f.place ELSE 0 END ORDER BY place LIMIT $4) c
UNION ALL
SELECT f.reader, o.epoch, NULL, o.result, o.state FROM f JOIN outcome o ON o.id = f.id
"""


async def read_chunks(
    connection: Connection, positions: Sequence[Position], most: int
) -> list[Row]:
    """Return what came after these positions, in one moment: of each at most `most` chunks.

    Chunks of one invocation are of its newest epoch that has any, in order; the outcome is last.
    A position in an older epoch gets the newest from its beginning.

    Raises:
        DatabaseAway: the connection broke.
    """
    with translated():
        rows = await connection.fetch(
            READ,
            [one.id for one in positions],
            [one.epoch for one in positions],
            [one.place for one in positions],
            most,
        )
    return [Row(*row) for row in rows]
