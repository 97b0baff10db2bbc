"""What functions have to do, and what their attempts take: what scaling decides by."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from state.database import Connection
from state.queries import load

QUERIES = load("scaling")


class Scaling(NamedTuple):
    """What a function declares."""

    fn: int
    name: str
    minimum: int
    maximum: int
    concurrency: int
    """Attempts at once in one process."""


class Demand(NamedTuple):
    """What a function has to do now."""

    function: str
    minimum: int
    maximum: int
    concurrency: int
    waiting: int
    """Invocations (lanes, where it has them) that could run now; counted to 5,000."""
    running: int
    oldest_seconds: float
    """How long the oldest of those that wait could have run already."""
    ended: int
    """Attempts that workers of the last day have counted so far."""
    seconds: float
    """What those attempts took, all together."""


async def declare_scaling(connection: Connection, declared: Sequence[Scaling]) -> None:
    """Store what functions declare. Safe to run twice: only what differs is written."""
    columns = ([one[place] for one in declared] for place in range(len(Scaling._fields)))
    await connection.execute(QUERIES["declare"], *columns)


async def note_service(
    connection: Connection, worker: int, served: Mapping[int, tuple[int, float]]
) -> None:
    """Store how many attempts this worker ended so far, and their seconds, by function.

    Safe to run twice: these are sums of its whole life, not what came since.
    """
    await connection.execute(
        QUERIES["serve"],
        worker,
        list(served),
        [ended for ended, _ in served.values()],
        [seconds for _, seconds in served.values()],
    )


async def demands(connection: Connection) -> list[Demand]:
    """Return what every function has to do now, in order of names."""
    return [Demand(*row) for row in await connection.fetch(QUERIES["demands"])]
