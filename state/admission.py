"""Whether claimed work may start (`state/routines/36_admit.sql`)."""

from collections.abc import Sequence
from typing import NamedTuple

from state.database import Connection, repeated, sparse

START, FENCED = b"s", b"f"
LATE, NEVER = b"l", b"n"
SLOT, PERMIT = b"w", b"p"

EVERY_SHOP = -1
"""In place of a shop, in a line that all shops share."""

TOO_LATE = "not started: {} s after it was due had passed"
NO_SLOT = "not started: its rate had no slot within {} s after it was due"
"""How what was dropped unstarted says so; the braces hold its deadline in seconds."""


class Pace(NamedTuple):
    """A line of starts, and how they follow each other in it."""

    tenant: int
    """The shop, or EVERY_SHOP."""
    key: int
    seconds: float
    """Between two starts, in the long run."""
    credit_seconds: float
    """How much earlier a start may be: bursts."""
    grace_seconds: float
    """A start that is later than its slot by up to this moves nobody back."""


class Asking(NamedTuple):
    """An attempt that was claimed and wants to start."""

    id: int
    epoch: int
    fn: int
    """Number of the function now, also when the work has a former name."""
    tenant: int
    pace: Pace | None = None
    """None: its starts are not paced."""
    key: int | None = None
    per_key: int | None = None
    """At once with this key in this shop; None: as many as come."""
    fleet: int | None = None
    """At once in all processes; None: as many as come."""
    elders: Sequence[int] = ()
    """Ids of earlier events that it stands for."""


class Admitted(NamedTuple):
    """What an attempt is told."""

    verdict: bytes
    """START; FENCED: it is not ours any more; LATE; NEVER: it would be late at its slot;
    SLOT, PERMIT: it waits for one."""
    seconds: float
    """SLOT: until it is reached. PERMIT: until it should ask again at the latest."""


ADMIT = f"SELECT * FROM admit({', '.join(f'${place}' for place in range(1, 16))})"  # noqa: S608


async def admit(
    connection: Connection, worker: int, asking: Sequence[Asking]
) -> dict[int, Admitted]:
    """Say of each of these whether it may start now, by id.

    Safe to run twice: what waits keeps its place, a permit that was given is given again. What may
    start has used up its slot, so asking again because the answer was lost costs another one.

    Args:
        connection: as the engine.
        worker: our number.
        asking: claimed by us.

    Raises:
        DatabaseAway: the answer is lost.
    """
    paces = [one.pace for one in asking]
    arguments = (
        worker,
        [one.id for one in asking],
        [one.epoch for one in asking],
        [one.fn for one in asking],
        [one.tenant for one in asking],
        sparse([pace and pace.tenant for pace in paces]),
        sparse([pace and pace.key for pace in paces]),
        sparse([pace and pace.seconds for pace in paces]),
        sparse([pace and pace.credit_seconds for pace in paces]),
        sparse([pace and pace.grace_seconds for pace in paces]),
        sparse([one.key for one in asking]),
        sparse([one.per_key for one in asking]),
        sparse([one.fleet for one in asking]),
        [elder for one in asking for elder in one.elders],
        [one.id for one in asking for _ in one.elders],
    )
    rows = await repeated(lambda: connection.fetch(ADMIT, *arguments))
    return {row["id"]: Admitted(row["verdict"], row["seconds"] or 0.0) for row in rows}


async def late_drops(connection: Connection) -> list[tuple[str, int]]:
    """Return functions with the number of invocations that came too late in the last 24 hours."""
    rows = await connection.fetch(
        "SELECT f.name, count(*) FROM outcome o JOIN invocation i ON i.id = o.id"
        " JOIN function f ON f.fn = i.fn"
        " WHERE o.state = 'c' AND o.done_at > clock_timestamp() - interval '1 day'"
        " AND o.result LIKE ANY ($1::text[]) GROUP BY 1 ORDER BY 1",
        [reason.format("%") for reason in (TOO_LATE, NO_SLOT)],
    )
    return [(row[0], row[1]) for row in rows]
