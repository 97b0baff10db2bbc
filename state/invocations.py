"""Invocations as people see them: look, cancel, replay."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from state.audit import record
from state.database import Connection, Database, repeated
from state.ids import public_id
from state.queries import load

STATES = ("waiting", "running", "done", "dead", "cancelled")
Cancelled = Literal["cancelled", "cancelling", "finished", "unknown"]
Replayed = Literal["replayed", "not_finished", "done", "unknown"]


@dataclass(frozen=True)
class Invocation:
    """One invocation, without its content."""

    id: int
    tenant: int
    function: str
    state: str
    """One of STATES."""
    lane: bool
    """Whether it stands in a lane."""
    errors: int
    crashes: int
    created_at: datetime
    run_at: datetime | None
    """When it may run, at the earliest; None: it has ended."""
    done_at: datetime | None
    error: str | None
    """Why it ended badly, or failed last."""
    waits_for: str | None
    """permit: until as many of its function run as may. slot: of its rate, at `run_at`. None:
    for neither."""

    @property
    def attempts(self) -> int:
        """How often it was tried, the one under way included."""
        return self.errors + self.crashes + (self.state in ("running", "done"))


class Failure(NamedTuple):
    """One failed attempt."""

    attempt: int
    at: datetime
    kind: str
    message: str


class Step(NamedTuple):
    """One recorded step."""

    name: str
    state: str
    """intent or done."""
    result: str | None
    writes: bool | None
    """Whether it changes something outside; None: recorded before 4.0."""


@dataclass(frozen=True)
class InvocationDetail(Invocation):
    """One invocation with its content."""

    event: str
    result: str | None
    failures: list[Failure]
    steps: list[Step]


@dataclass(frozen=True)
class FunctionCount:
    """How many invocations of a function are in a state; `done` counts the last 24 hours."""

    function: str
    state: str
    count: int
    oldest_waiting_seconds: float


class Invocations:
    """Invocations of the whole installation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self,
        *,
        state: str | None = None,
        function: str | None = None,
        tenant: int | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[Invocation]:
        """Return the newest invocations, newest first.

        Args:
            state: one of STATES; None: any.
            function: its name; None: any. An unknown one gives an empty page.
            tenant: the shop; None: all.
            before: older than this number, for the next page.
            limit: at most this many.

        Raises:
            ValueError: no such state.
        """
        if state is not None and state not in STATES:
            raise ValueError(f"{state!r} is not a state; states: {', '.join(STATES)}")
        async with self._database.engine() as connection:
            fn = None
            if function is not None:
                fn = await connection.fetchval("SELECT fn FROM function WHERE name = $1", function)
                if fn is None:
                    return []
            return await _shaped(connection, state or "any", tenant, fn, before, limit)

    async def many(self, ids: Sequence[int]) -> list[Invocation]:
        """Return these invocations, newest first; unknown ones are left out."""
        async with self._database.engine() as connection:
            return await _shaped(connection, "these", list(ids))

    async def get(self, number: int) -> InvocationDetail | None:
        """Return one with its content; None: there is none."""
        async with self._database.engine() as connection:
            found = await _shaped(connection, "these", [number])
            if not found:
                return None
            event = await connection.fetchval("SELECT event FROM invocation WHERE id = $1", number)
            result = await connection.fetchval(
                "SELECT result FROM outcome WHERE id = $1 AND state = 'd'", number
            )
            failures = await connection.fetch(
                "SELECT attempt, at, kind, message FROM failure WHERE id = $1 ORDER BY at", number
            )
            steps = await connection.fetch(
                "SELECT name, CASE state WHEN 'd' THEN 'done' ELSE 'intent' END, result, writes"
                " FROM step"
                " WHERE id = $1 ORDER BY at, name",
                number,
            )
        return InvocationDetail(
            **vars(found[0]),
            event=event,
            result=result,
            failures=[Failure(*row) for row in failures],
            steps=[Step(*row) for row in steps],
        )

    async def dispatched(self, number: int) -> list[tuple[str, str]]:
        """Return what was dispatched with its outcome: function and event (JSON), in order."""
        async with self._database.engine() as connection:
            rows = await connection.fetch(
                "SELECT f.name, i.event FROM descent d JOIN invocation i ON i.id = d.id"
                " JOIN function f ON f.fn = i.fn WHERE d.parent = $1 ORDER BY d.id",
                number,
            )
        return [(row[0], row[1]) for row in rows]

    async def counts(self) -> list[FunctionCount]:
        """Return how many invocations each function has in each state."""
        async with self._database.engine() as connection:
            rows = await connection.fetch(load("invocations")["counts"])
        return [FunctionCount(*row) for row in rows]

    async def cancel(self, number: int, *, actor: str) -> Cancelled:
        """Never run it again. A running one is told, and ends within about a second."""
        return await self._decide("cancel", number, actor)  # type: ignore[return-value]

    async def replay(self, number: int, *, actor: str) -> Replayed:
        """Run a dead or cancelled one again, under the same id: done steps are not repeated."""
        return await self._decide("replay", number, actor)  # type: ignore[return-value]

    async def _decide(self, verb: str, number: int, actor: str) -> str:
        async def call() -> str:
            async with self._database.engine() as connection, connection.transaction():
                answer: str = await connection.fetchval(f"SELECT {verb}_invocation($1)", number)
                if answer in ("cancelled", "cancelling", "replayed"):
                    await record(
                        connection,
                        actor=actor,
                        action=f"invocation.{verb}",
                        subject=public_id(number),
                    )
                return answer

        return await repeated(call)


async def _shaped(connection: Connection, picked: str, *arguments: object) -> list[Invocation]:
    queries = load("invocations")
    statement = queries["shape"].replace("{picked}", queries[picked])
    return [Invocation(*row) for row in await connection.fetch(statement, *arguments)]
