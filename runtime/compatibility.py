"""Whether this version's functions take what another version has stored and not finished.

Nothing is written, and every event is read as an attempt would read it.
"""

from collections.abc import Callable
from typing import NamedTuple

from runtime.errors import InvalidEvent
from runtime.event import decode
from runtime.registry import Registry
from state.database import Database
from state.unfinished import Unfinished, count_unfinished, unfinished

BATCH = 100
REASONS_AT_MOST = 200
"""Different reasons that are kept apart; the invocations of further ones are only counted."""


class Rejection(NamedTuple):
    """Why invocations would fail, or never run."""

    function: str
    field: str | None
    """Of its event, `lines.*.price` for one of every line; None: there is no such function."""
    message: str
    invocations: int
    example: int
    """The oldest of them."""


class Compatibility(NamedTuple):
    """What was found."""

    invocations: int
    """That wait or run."""
    rejected: int
    rejections: list[Rejection]
    """One for each reason; an invocation may have several."""


async def check_unfinished(
    database: Database, registry: Registry, told: Callable[[int, int], None]
) -> Compatibility:
    """Read everything that waits or runs, and say what this registry would not take.

    Args:
        database: of the installation that runs.
        registry: of the version that is to run.
        told: called with how many are read, of how many.
    """
    found: dict[tuple[str, str | None, str], list[int]] = {}
    read = rejected = after = 0
    async with database.engine() as connection:
        whole, newest = await count_unfinished(connection)
    while True:
        async with database.engine() as connection, connection.transaction(readonly=True):
            batch = await unfinished(connection, after, newest, BATCH)
        for one in batch:
            reasons = _reasons(registry, one)
            rejected += bool(reasons)
            for reason in reasons:
                if reason in found:
                    found[reason][0] += 1
                elif len(found) < REASONS_AT_MOST:
                    found[reason] = [1, one.id]
        read += len(batch)
        told(read, max(whole, read))
        if len(batch) < BATCH:
            break
        after = batch[-1].id
    rejections = [
        Rejection(*reason, *counted) for reason, counted in sorted(found.items(), key=str)
    ]
    return Compatibility(read, rejected, rejections)


def _reasons(registry: Registry, one: Unfinished) -> set[tuple[str, str | None, str]]:
    """Return why an invocation would not run; nothing: it would."""
    function = registry.former(one.function)
    if function is None:
        return {(one.function, None, "no function of this version has this name, or had it")}
    try:
        decode(function.event_type, one.event)
    except InvalidEvent as error:
        return {
            (function.name, _path(problem["field"]), problem["message"])
            for problem in error.problems
        }
    return set()


def _path(field: str) -> str:
    """Return the way to a field, the same for every element of a list."""
    return ".".join("*" if part.isdigit() else part for part in field.split(".")) or "event"
