"""Who repeats a key joins the live run, and learns of its end at once."""

import asyncio
from typing import Any

import pytest

from runtime import Cancel, Context, Event, Retry, function
from runtime.dispatch import Dispatcher
from runtime.errors import KeyConflict
from runtime.registry import Registry
from runtime.settings import Settings
from tests.runtime.harness import platform, working


class Task(Event):
    ends: str = "done"


@pytest.fixture(autouse=True)
def never_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers of these tests learn of an end by being told, or not at all."""
    monkeypatch.setattr("runtime.replies.LOOK_SECONDS", 60.0)


@pytest.mark.parametrize("ends", ["done", "dead", "cancelled"])
async def test_all_who_repeat_a_key_are_told_of_one_end(settings: Settings, ends: str) -> None:
    runs, go = [], asyncio.Event()

    @function(retry=Retry(attempts=1))
    async def work(event: Task, ctx: Context) -> str:
        runs.append(1)
        await go.wait()
        if event.ends == "dead":
            raise ValueError("it died")
        if event.ends == "cancelled":
            raise Cancel("not wanted")
        return "done"

    async with (
        working(settings, [work]) as first,
        platform(settings, Registry([work], [])) as second,
    ):
        event = Task(ends=ends)
        # The first does not wait: nobody is in `reply_to`.
        begun = await first.dispatcher.dispatch(event, key="k")
        await first.until(begun.id, "running")
        waiting = [
            asyncio.create_task(joining(one.dispatcher, event)) for one in (first, second, second)
        ]
        async with asyncio.timeout(15):
            while await first.value("SELECT count(*) FROM joined") < 2:
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)  # past the second look: from here on they have to be told
        go.set()
        async with asyncio.timeout(10):
            outcomes = await asyncio.gather(*waiting)
        assert {(one.id, one.state) for one in outcomes} == {(begun.id, ends)}
        assert await first.value("SELECT count(*) FROM joined") == 0
        assert len(runs) == 1
        with pytest.raises(KeyConflict):
            await joining(second.dispatcher, Task(ends="otherwise"))


async def test_who_joins_what_waits_is_told_that_a_person_cancelled_it(settings: Settings) -> None:
    @function()
    async def work(event: Task, ctx: Context) -> None: ...

    async with platform(settings, Registry([work], [])) as found:
        first = await found.dispatcher.dispatch(Task(), key="k")
        waiting = asyncio.create_task(joining(found.dispatcher, Task()))
        async with asyncio.timeout(15):
            while not await found.value("SELECT count(*) FROM joined"):
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
        assert await found.invocations.cancel(first.id, actor="test") == "cancelled"
        async with asyncio.timeout(10):
            assert (await waiting).state == "cancelled"


async def test_who_repeats_the_key_of_an_ended_one_has_its_outcome_and_leaves_no_trace(
    settings: Settings,
) -> None:
    @function()
    async def work(event: Task, ctx: Context) -> int:
        return 3

    async with working(settings, [work]) as found:
        await joining(found.dispatcher, Task())
        async with asyncio.timeout(10):
            assert (await joining(found.dispatcher, Task())).result == "3"
        assert await found.value("SELECT count(*) FROM joined") == 0


async def joining(dispatcher: Dispatcher, event: Event) -> Any:
    receipt = await dispatcher.dispatch(event, key="k", wait=True)
    outcome = await dispatcher.outcome(receipt.id, 60)
    assert outcome is not None
    return outcome
