"""Steps: the memo of paid or outside calls inside an invocation (`routines/45_step.sql`)."""

from collections.abc import Sequence
from typing import NamedTuple

from state.database import Connection, repeated
from state.dispatch import Asked
from state.work import Claimed

INTENT, DONE = b"i", b"d"
STORED, EXISTS, FENCED = b"s", b"e", b"f"
RESTORED = "restored from a back-up"
"""The intent that stands for every step of an invocation that was owed when a back-up was made:
whichever it has not recorded may have been made after the snapshot, by a life that is gone."""


class Record(NamedTuple):
    """A step to be stored, of an attempt that is ours."""

    claimed: Claimed
    name: str
    state: bytes
    result: str | None
    """JSON text."""


class Memo(NamedTuple):
    """A step as stored."""

    state: bytes
    result: str | None


async def record_steps(
    connection: Connection, worker: int, records: Sequence[Record]
) -> list[bytes]:
    """Store steps of any number of attempts under their fences; one fate for each, in order.

    Safe to run twice: what is there stays (EXISTS).

    Raises:
        WorkerEnded: we were declared dead.
        DatabaseAway: they may or may not be stored.
    """
    rows = await repeated(
        lambda: connection.fetch(
            "SELECT id, name, fate FROM record_steps($1, $2, $3, $4, $5, $6, $7, $8)",
            worker,
            [one.claimed.id for one in records],
            [one.claimed.epoch for one in records],
            [one.claimed.tenant for one in records],
            [one.claimed.lane for one in records],
            [one.name for one in records],
            [one.state for one in records],
            [one.result for one in records],
        )
    )
    fates = {(row["id"], row["name"]): row["fate"] for row in rows}
    return [fates[one.claimed.id, one.name] for one in records]


async def steps_of(connection: Connection, invocation: int) -> dict[str, Memo]:
    """Return what earlier attempts recorded."""
    rows = await connection.fetch("SELECT name, state, result FROM step WHERE id = $1", invocation)
    return {row["name"]: Memo(row["state"], row["result"]) for row in rows}


async def complete_step(
    connection: Connection, invocation: int, name: str, epoch: int, result: str
) -> None:
    """Record what a writing step did. A fact, so nobody is asked who may."""
    await repeated(
        lambda: connection.execute(
            "UPDATE step SET state = 'd', result = $4, at = clock_timestamp()"
            " WHERE id = $1 AND name = $2 AND epoch = $3 AND state = 'i'",
            invocation,
            name,
            epoch,
            result,
        )
    )


async def take_intent(connection: Connection, invocation: int, name: str, epoch: int) -> None:
    """Make an earlier attempt's intent ours, inside a transaction that holds the fence.

    There is no row of it when only RESTORED stands for it.
    """
    await connection.execute(
        "INSERT INTO step AS s (id, name, state, epoch) VALUES ($1, $2, 'i', $3)"
        " ON CONFLICT (id, name) DO UPDATE SET epoch = excluded.epoch WHERE s.state = 'i'",
        invocation,
        name,
        epoch,
    )


FENCE_LANE = (
    "SELECT true FROM lane WHERE tenant = $1 AND lane = $2"
    " AND worker IS NOT DISTINCT FROM $3 AND epoch = $4 FOR UPDATE"
)
FENCE_WORK = (
    "SELECT true FROM work WHERE id = $1"
    " AND worker IS NOT DISTINCT FROM $2 AND epoch = $3 FOR UPDATE"
)


def entering(worker: int, claimed: Claimed, roles: bool) -> str:
    """Return the statement that begins a handler's transaction: it binds it to its shop.

    It fails with WorkLost when the work is not ours any more.
    """
    owned = (claimed.id, worker, claimed.epoch, claimed.tenant)
    lane = "NULL" if claimed.lane is None else f"{claimed.lane:d}"
    return f"SELECT must_enter({', '.join(format(one, 'd') for one in owned)}, {lane}, {roles})"


async def leave(
    connection: Connection, worker: int, claimed: Claimed, roles: bool, asked: Sequence[Asked]
) -> bool:
    """End it: hold what the attempt owns until the commit, and store events that go with it.

    False: the work is not ours any more, and the transaction has to be rolled back.
    """
    return bool(
        await connection.fetchval(
            "SELECT leave($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            *_owned(worker, claimed),
            roles,
            [one.tenant for one in asked],
            [one.fn for one in asked],
            [one.lane for one in asked],
            [one.event for one in asked],
            [one.due_in() for one in asked],
            [one.cap_seconds for one in asked],
        )
    )


def _owned(worker: int, claimed: Claimed) -> tuple[int, int, int, int, int | None]:
    return claimed.id, worker, claimed.epoch, claimed.tenant, claimed.lane


async def hold(connection: Connection, worker: int, claimed: Claimed) -> bool:
    """Lock what this attempt owns, for the rest of the transaction; False: not ours any more."""
    if claimed.lane is None:
        found = await connection.fetchval(FENCE_WORK, claimed.id, worker, claimed.epoch)
    else:
        found = await connection.fetchval(
            FENCE_LANE, claimed.tenant, claimed.lane, worker, claimed.epoch
        )
    return bool(found)
