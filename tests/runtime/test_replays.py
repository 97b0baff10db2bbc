"""Replay from any step, with other answers or another event."""

import json
from typing import Any

import pytest

from functions.hello import hello
from runtime import Context, Event, Retry, function
from runtime.errors import InvalidEvent, ReplayRefused
from runtime.replays import Replay
from runtime.settings import Settings
from state.audit import verify
from state.ids import public_id
from tests.runtime.harness import Platform, working
from tests.sample.errand import LOG, Errand, errand


@pytest.fixture(autouse=True)
def log() -> list[str]:
    LOG.clear()
    return LOG


async def again(found: Platform, number: int, **how: Any) -> tuple[int, Any]:
    """Replay, and return the id and what came of it."""
    done = await found.dispatcher.replay(number, Replay(**how), actor="test")
    outcome = await found.end_of(done.id)
    return done.id, outcome.error or json.loads(outcome.result or "null")


async def failed(found: Platform) -> int:
    outcome = await found.run(Errand(fail=True))
    assert (outcome.state, LOG) == ("dead", ["look", "pay", "carry"])
    LOG.clear()
    return outcome.id


async def steps(found: Platform, number: int) -> dict[str, str | None]:
    detail = await found.invocations.get(number)
    assert detail is not None
    return {one.name: one.result for one in detail.steps}


async def test_steps_before_keep_their_answers_and_the_rest_runs_again(settings: Settings) -> None:
    async with working(settings, [errand, hello]) as found:
        number = await failed(found)
        same, said = await again(found, number, from_step="carry")
        assert await found.value("SELECT count(*) FROM alert WHERE resolved_at IS NULL") == 1
    assert (same, said, LOG) == (number, "ValueError: dropped it", ["carry"])


async def test_what_writes_is_not_done_twice_unless_that_is_said(settings: Settings) -> None:
    async with working(settings, [errand, hello]) as found:
        number = await failed(found)
        with pytest.raises(ReplayRefused, match=r"a second time: pay \(writes\)"):
            await again(found, number, from_step="look")
        assert (await steps(found, number))["look"] is not None
        await again(found, number, from_step="look", again_writes=True)
    assert LOG == ["look", "pay", "carry"]


async def test_a_step_may_be_given_another_answer(settings: Settings) -> None:
    async with working(settings, [errand, hello]) as found:
        number = await failed(found)
        edits = {"look": '{"price": 9}', "pay": "9"}
        _, said = await again(found, number, from_step="look", edits=edits)
        assert (await steps(found, number))["look"] == '{"price": 9}'
    assert (said, LOG) == ("ValueError: dropped it", ["carry"])


async def test_another_event_is_another_invocation_that_is_linked(settings: Settings) -> None:
    async with working(settings, [errand, hello]) as found:
        number = await failed(found)
        with pytest.raises(ReplayRefused, match="pay"):
            await again(found, number, event={"what": "milk"})
        with pytest.raises(InvalidEvent, match="did you mean 'what'"):
            await again(found, number, event={"wat": "milk"}, again_writes=True)
        new, said = await again(found, number, event={"what": "milk"}, from_step="carry")
        old = await found.invocations.get(number)
        audit = await found.value(
            "SELECT detail->>'of' FROM audit_log WHERE subject = $1", _id(new)
        )
        async with found.database.engine() as connection:
            assert await verify(connection) is None
        assert await found.value("SELECT count(*) FROM alert WHERE resolved_at IS NULL") == 0
    assert new != number
    assert said == [3, 3, "milk for 3"]
    assert LOG == ["carry"]
    assert old is not None
    assert old.state == "dead"
    assert audit == _id(number)


async def test_one_that_is_done_stays_and_a_new_one_goes_on_from_its_steps(
    settings: Settings,
) -> None:
    async with working(settings, [errand, hello]) as found:
        first = await found.run(Errand())
        LOG.clear()
        new, said = await again(found, first.id, edits={"pay": "1"}, from_step="carry")
        kept = await found.invocations.get(first.id)
    assert new != first.id
    assert said == [3, 1, "bread for 1"]
    assert LOG == ["carry"]
    assert kept is not None
    assert kept.result == '[3,3,"bread for 3"]'


async def test_steps_that_are_not_there_are_named(settings: Settings) -> None:
    async with working(settings, [errand, hello]) as found:
        number = await failed(found)
        with pytest.raises(ReplayRefused, match=r"'pai'.*did you mean 'pay'.*look, pay, carry"):
            await again(found, number, from_step="pai")
        with pytest.raises(ReplayRefused, match="no such invocation"):
            await again(found, 999, from_step="pay")
        waiting = await found.dispatcher.dispatch(Errand(), delay_seconds=60)
        with pytest.raises(ReplayRefused, match="has not finished"):
            await again(found, waiting.id, from_step="pay")


async def test_what_was_called_is_called_anew_when_its_step_is_dropped(settings: Settings) -> None:
    class Whole(Event):
        pass

    class Piece(Event):
        pass

    runs: list[int] = []

    @function()
    async def piece(event: Piece, ctx: Context) -> int:
        runs.append(1)
        return len(runs)

    @function(retry=Retry(attempts=1))
    async def whole(event: Whole, ctx: Context) -> None:
        raise ValueError(str(await ctx.call(Piece())))

    async with working(settings, [whole, piece]) as found:
        number = (await found.run(Whole())).id
        with pytest.raises(ReplayRefused, match=r"piece \(calls a function\)"):
            await again(found, number, from_step="piece")
        _, said = await again(found, number, from_step="piece", again_writes=True)
    assert said == "ValueError: 2"


def _id(number: int) -> str:
    return public_id(number)
