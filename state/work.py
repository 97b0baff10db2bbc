"""What is owed: claim it, and say how it ended (`state/routines/38_look.sql`, `40_turn.sql`)."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from state.database import Connection, repeated, sparse
from state.dispatch import Asked

DONE, DEAD, CANCELLED = b"d", b"x", b"c"
RETRY, SNOOZE, HANDED_BACK = b"r", b"s", b"h"
EVER = datetime(2000, 1, 1, tzinfo=UTC)
"""Before anything was due."""


class Claimed(NamedTuple):
    """An invocation that is ours to run, under an epoch."""

    id: int
    epoch: int
    tenant: int
    lane: int | None
    fn: int
    errors: int
    crashes: int
    event: str
    reply_to: int | None
    created_at: datetime
    merged: Sequence[int] | None
    """Ids of earlier events that this one stands for. None: the function merges nothing."""


@dataclass(slots=True)
class Finish:
    """How one attempt ended."""

    id: int
    epoch: int
    tenant: int
    lane: int | None
    kind: bytes
    attempt: int
    """1 for the first."""
    body: str | None = None
    """JSON of a done one, else the reason."""
    delay_seconds: float = 0.0
    """RETRY, SNOOZE, HANDED_BACK: when to run again."""
    since: float | None = None
    """Clock time (`time.monotonic`) from which the delay counts. None: from when it is stored."""
    cause: str | None = None
    """error, timeout, crash: the attempt failed and a row for people is kept. None: it did not."""
    reply_to: int | None = None
    keep: bool = True
    """Its lane stays ours if the next one in line may run now; else others may have it."""
    children: list[Asked] = field(default_factory=list)
    """Events it dispatched: stored with its outcome, or not at all."""
    tokens: int = 0
    """That it paid for: they weigh with what its shop has had, beside its time."""
    others: "list[Finish]" = field(default_factory=list)
    """Ends of other events of its lane, stored in the same commit."""
    for_others: bool = False
    """Other workers should find it first: this one does not look just when it is due."""

    def due_in(self) -> float:
        """Return how many seconds from now it may run again."""
        if self.since is None:
            return self.delay_seconds
        return max(0.0, self.delay_seconds - (time.monotonic() - self.since))


class Wanted(NamedTuple):
    """How much more this worker can take of one function."""

    fn: int
    most: int
    lanes: bool
    after: int
    """The shop served last (fairness); -1: none yet."""
    behind: Sequence[tuple[int, int | None]] = ()
    """Shops that had more of its time than others, and how many of `most` each gets; the one that
    had the least of it first. None for each: they get nothing, even if something is left."""
    since: datetime | None = None
    """What has no lane and was due before that is passed over, and the turn says from when on to
    look next time; EVER: nothing is. None: nothing is, and nothing is said."""


class Turn(NamedTuple):
    """What a turn gave."""

    claimed: list[Claimed]
    fenced: list[int]
    """Ids whose end was not stored: they were not ours any more."""
    more: list[int]
    """Numbers of functions of which there may be more."""
    since: dict[int, datetime]
    """From when on to look next time (`Wanted.since`), by number of the function."""


LOOK = "SELECT * FROM look($1, $2, $3, $4, $5, $6, $7, $8, $9)"
TURN = f"SELECT * FROM turn({', '.join(f'${place}' for place in range(1, 29))})"  # noqa: S608
NOTHING = ", ".join(["'{}'"] * 11)
END = f"SELECT * FROM turn({', '.join(f'${place}' for place in range(1, 14))}, {NOTHING})"  # noqa: S608
"""A turn that claims nothing and has no children to store: each array that is not sent saves a
microsecond here and one there."""


async def turn(
    connection: Connection,
    worker: int,
    *,
    finished: Sequence[Finish],
    wanted: Sequence[Wanted],
    alone: bool = False,
) -> Turn:
    """End a batch and claim the next: one round trip, one commit.

    Safe to run twice: what was ended before comes back as fenced, and changes nothing.

    Args:
        connection: as the engine, of this process alone.
        worker: our number.
        finished: attempts that ended since the last turn.
        wanted: what to claim.
        alone: claim only suspects of a crash (a worker that runs one attempt at a time).

    Raises:
        WorkerEnded: we were declared dead.
        DatabaseAway: the turn may or may not have happened.
        RowRejected: an outcome that Postgres cannot hold.
    """
    if not finished and len(wanted) == 1:
        return await _look(connection, worker, wanted[0], alone=alone)
    finished = [each for one in finished for each in (one, *one.others)]
    behind = [(want.fn, *one) for want in wanted for one in want.behind]
    children = [(one.id, child) for one in finished for child in one.children]
    arguments: tuple[Any, ...] = (
        worker,
        alone,
        [one.id for one in finished],
        [one.epoch for one in finished],
        [one.tenant for one in finished],
        sparse([one.lane for one in finished]),
        [one.kind for one in finished],
        sparse([one.due_in() if one.delay_seconds else None for one in finished]),
        sparse([one.body for one in finished]),
        sparse([one.cause for one in finished]),
        sparse([one.attempt if one.cause else None for one in finished]),
        sparse([one.reply_to for one in finished]),
        sparse([None if one.keep else False for one in finished]),
    )
    if not children and not wanted:
        return _turned(await repeated(lambda: connection.fetch(END, *arguments)))
    arguments += (
        [parent for parent, _ in children],
        [child.tenant for _, child in children],
        [child.fn for _, child in children],
        [child.lane for _, child in children],
        [child.event for _, child in children],
        [child.due_in() for _, child in children],
        [child.cap_seconds for _, child in children],
        [want.fn for want in wanted],
        [want.most for want in wanted],
        [want.lanes for want in wanted],
        [want.after for want in wanted],
        [fn for fn, _, _ in behind],
        [tenant for _, tenant, _ in behind],
        [share for _, _, share in behind],
        sparse([want.since for want in wanted]),
    )
    return _turned(await repeated(lambda: connection.fetch(TURN, *arguments)))


async def _look(connection: Connection, worker: int, want: Wanted, *, alone: bool) -> Turn:
    """Claim alone, for a worker that had nothing to do: it is what an event waits for."""
    fn, most, lanes, after, behind, since = want
    shops = [tenant for tenant, _ in behind]
    shares = [share for _, share in behind]
    arguments = (worker, alone, fn, most, lanes, after, shops, shares, since)
    return _turned(await repeated(lambda: connection.fetch(LOOK, *arguments)))


def _turned(rows: Sequence[Sequence[Any]]) -> Turn:
    claimed, fenced, more, since = [], [], [], {}
    for row in rows:
        kind = row[0]
        if kind == b"c":
            claimed.append(Claimed(*row[1:]))
        elif kind == b"f":
            fenced.append(row[1])
        elif kind == b"m":
            more.append(row[5])
        else:
            since[row[5]] = row[10]
    return Turn(claimed, fenced, more, since)


class Line(NamedTuple):
    """An attempt that has a lane, and up to which event of it it knows."""

    tenant: int
    lane: int
    fn: int
    id: int
    """The event it runs, or the last one that it took."""


async def newer_than(connection: Connection, lines: Sequence[Line]) -> list[tuple[int, int, str]]:
    """Return the due events behind these, as (place in `lines`, id, JSON), in the order of ids.

    An event of another function ends the list, and so does one that is not due: neither may be
    overtaken.
    """
    rows = await connection.fetch(
        """
        SELECT u.place - 1 AS place, k.id, a.event
        FROM unnest($1::int[], $2::bigint[], $3::int[], $4::bigint[]) WITH ORDINALITY
             u (tenant, lane, fn, id, place)
        JOIN work k ON k.tenant = u.tenant AND k.lane = u.lane AND k.id > u.id
        JOIN invocation a ON a.id = k.id
        WHERE k.id < coalesce((
            SELECT min(z.id) FROM work z
            WHERE z.tenant = u.tenant AND z.lane = u.lane AND z.id > u.id
              AND (z.fn <> u.fn OR z.run_at > clock_timestamp())), 9223372036854775807)
        ORDER BY u.place, k.id
        """,
        [line.tenant for line in lines],
        [line.lane for line in lines],
        [line.fn for line in lines],
        [line.id for line in lines],
    )
    return [(row["place"], row["id"], row["event"]) for row in rows]


async def events_of(connection: Connection, ids: Sequence[int]) -> list[str]:
    """Return the JSON of these invocations' events, in order of ids."""
    rows = await connection.fetch(
        "SELECT event FROM invocation WHERE id = ANY ($1::bigint[]) ORDER BY id", ids
    )
    return [row["event"] for row in rows]
