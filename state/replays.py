"""Run an invocation again in another way: from a step, with other answers, for another event."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from state.audit import record
from state.database import Connection
from state.dispatch import Asked, dispatch
from state.ids import public_id


class Ran(NamedTuple):
    """What was asked, and how it ended."""

    function: str
    asked: Asked
    """The same again."""
    state: bytes | None
    """d, x or c; None: it has not ended."""


class Done(NamedTuple):
    """A step as recorded."""

    name: str
    writes: bool | None
    """Whether it changes something outside; None: recorded before 4.0."""
    calls: bool
    """Whether it is a call of another function."""


async def ran(connection: Connection, number: int) -> Ran | None:
    """Return what an invocation was; None: there is none."""
    row = await connection.fetchrow(
        "SELECT f.name, i.tenant, i.fn, i.event, i.lane, o.state FROM invocation i"
        " JOIN function f ON f.fn = i.fn LEFT JOIN outcome o ON o.id = i.id WHERE i.id = $1",
        number,
    )
    if row is None:
        return None
    return Ran(row[0], Asked(row[1], row[2], row[3], row[4]), row[5])


async def steps_done(connection: Connection, number: int) -> list[Done]:
    """Return its recorded steps, in the order in which they were recorded."""
    rows = await connection.fetch(
        "SELECT s.name, s.writes, EXISTS (SELECT FROM child c WHERE c.parent = s.id"
        " AND c.name = s.name) FROM step s WHERE s.id = $1 ORDER BY s.at, s.name",
        number,
    )
    return [Done(*row) for row in rows]


async def replay_in_place(
    connection: Connection,
    number: int,
    *,
    drop: Collection[str],
    edits: Mapping[str, str],
    actor: str,
) -> str:
    """Run a dead or cancelled one again under its id; answers as `replay_invocation` does.

    Inside a transaction. Safe to run twice: what was replayed has not finished.

    Args:
        connection: as the engine.
        number: of the invocation.
        drop: steps that are forgotten, with the children they called.
        edits: answers by step, as JSON; such a step is not run.
        actor: who.
    """
    answer: str = await connection.fetchval("SELECT replay_invocation($1)", number)
    if answer == "replayed":
        for table in ("child WHERE parent", "step WHERE id"):
            await connection.execute(
                f"DELETE FROM {table} = $1 AND name = ANY ($2::text[])",  # noqa: S608 - ours
                number,
                list(drop),
            )
        await _edit(connection, number, edits)
        await _told(connection, number, number, drop, edits, actor)
    return answer


async def replay_anew(
    connection: Connection,
    number: int,
    asked: Asked,
    *,
    keep: Collection[str],
    edits: Mapping[str, str],
    actor: str,
) -> int:
    """Store a new invocation that goes on from recorded steps of an earlier one; return its id.

    Inside a transaction; not safe to run twice. Who replaces a dead one has dealt with its alert.
    """
    (stored,) = await dispatch(connection, [asked], wake=True)
    await connection.execute(
        "INSERT INTO step (id, name, state, epoch, result, at, writes)"
        " SELECT $1, name, state, 0, result, at, writes FROM step"
        " WHERE id = $2 AND name = ANY ($3::text[])",
        stored.id,
        number,
        list(keep),
    )
    await _edit(connection, stored.id, edits)
    await connection.execute(
        "WITH resolved AS (UPDATE alert SET resolved_at = clock_timestamp(), resolved_by = 'replay'"
        " WHERE kind = 'dead' AND subject = $1 AND resolved_at IS NULL RETURNING tenant, subject)"
        " INSERT INTO change (tenant, topic, ids)"
        " SELECT tenant, 'alert', ARRAY[subject] FROM resolved",
        number,
    )
    await _told(connection, stored.id, number, (), edits, actor)
    return stored.id


async def _edit(connection: Connection, number: int, edits: Mapping[str, str]) -> None:
    await connection.execute(
        "INSERT INTO step (id, name, state, epoch, result, writes)"
        " SELECT $1, name, 'd', 0, result, false"
        " FROM unnest($2::text[], $3::text[]) u (name, result)"
        " ON CONFLICT (id, name) DO UPDATE SET state = 'd', result = excluded.result",
        number,
        list(edits),
        list(edits.values()),
    )


async def _told(
    connection: Connection,
    number: int,
    of: int,
    drop: Collection[str],
    edits: Mapping[str, str],
    actor: str,
) -> None:
    await record(
        connection,
        actor=actor,
        action="invocation.replay",
        subject=public_id(number),
        detail={"of": public_id(of), "dropped": len(drop), "edited": len(edits)},
    )
