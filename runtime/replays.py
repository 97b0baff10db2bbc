"""Replay from any step, with other answers or another event; what writes is not done twice."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime.errors import InvalidEvent, ReplayRefused
from runtime.event import validate
from runtime.function import suggest
from runtime.numbered import NumberedRegistry
from state.database import Database, repeated
from state.dispatch import Asked
from state.ids import public_id
from state.replays import Done, Ran, ran, replay_anew, replay_in_place, steps_done

REFUSED = {
    "not_finished": "has not finished; cancel it first, or wait",
    "done": "is done; with from_step or another event it can be run as a new one",
    "unknown": "there is no such invocation",
}


@dataclass(frozen=True)
class Replay:
    """How an invocation is to run again."""

    from_step: str | None = None
    """The first step that is run again; those recorded before keep their answers. None: all do."""
    edits: Mapping[str, str] = field(default_factory=dict)
    """Answers by step, as JSON: such a step is not run."""
    event: Any = None
    """Plain data of another event; None: the same one."""
    again_writes: bool = False
    """Run steps again that change something outside."""


@dataclass(frozen=True)
class Replayed:
    """It runs again."""

    id: int
    """The same; or of a new invocation, when the old one is done or its event was another."""
    kept: int
    """Steps whose answers stay."""


async def replay(
    database: Database, numbered: NumberedRegistry, number: int, how: Replay, *, actor: str
) -> Replayed:
    """Run an invocation again.

    A dead or cancelled one runs again under its id. One that is done is left alone, and so is one
    whose event is to be another: a new invocation then begins with the answers that stay.

    Raises:
        ReplayRefused: it has not finished; there is no such step; or steps that change something
            outside would run again, and `again_writes` does not say so.
        InvalidEvent: the event does not fit its function.
    """

    async def call() -> Replayed:
        async with database.engine() as connection, connection.transaction():
            found = await ran(connection, number)
            name = public_id(number)
            if found is None or found.state is None:
                why = REFUSED["not_finished" if found else "unknown"]
                raise ReplayRefused(f"{name}: {why}")
            steps = await steps_done(connection, number)
            keep, drop = _split(steps, how)
            if how.event is None and found.state != b"d":
                answer = await replay_in_place(
                    connection, number, drop=drop, edits=how.edits, actor=actor
                )
                if answer != "replayed":
                    raise ReplayRefused(f"{name}: {REFUSED[answer]}")
                return Replayed(number, len({*keep, *how.edits}))
            asked = _asked(numbered, found, how)
            new = await replay_anew(
                connection, number, asked, keep=keep, edits=how.edits, actor=actor
            )
            return Replayed(new, len({*keep, *how.edits}))

    return await repeated(call)


def _split(steps: list[Done], how: Replay) -> tuple[list[str], list[str]]:
    """Return the names of steps that stay, and of those that run again."""
    names = [one.name for one in steps]
    if how.from_step is None:
        # For another event an earlier answer is none: everything runs again.
        at = len(steps) if how.event is None else 0
    elif how.from_step in names:
        at = names.index(how.from_step)
    else:
        known = f"recorded are, in order: {', '.join(names)}" if names else "it has none"
        near = suggest(how.from_step, names)
        raise ReplayRefused(f"no step {how.from_step!r} was recorded{near}; {known}")
    dropped = [one for one in steps[at:] if one.name not in how.edits]
    again = [one for one in dropped if one.writes is not False or one.calls]
    if again and not how.again_writes:
        raise ReplayRefused(
            f"these would happen a second time: {', '.join(map(_why, again))}. Begin after them,"
            " give their answers with --edit, or say --again-writes if that is wanted"
        )
    return names[:at], [one.name for one in dropped]


def _why(step: Done) -> str:
    if step.calls:
        return f"{step.name} (calls a function)"
    return f"{step.name} ({'writes' if step.writes else 'may write: recorded by an older version'})"


def _asked(numbered: NumberedRegistry, found: Ran, how: Replay) -> Asked:
    if how.event is None:
        return found.asked
    function = numbered.registry.named(found.function)
    if not isinstance(how.event, dict):
        raise InvalidEvent(f"{function.event_type.__name__}: a JSON object is needed")
    event = validate(function.event_type, how.event)
    return numbered.ask(event, tenant=found.asked.tenant)
