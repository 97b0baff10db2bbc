"""What a function calls and waits for: stored once, answered once, cancelled with it."""

import asyncio
import time
from pathlib import Path
from typing import Any

from runtime import Cancel, ChildFailed, Context, Event, Retry, function
from runtime.registry import load_registry
from runtime.settings import Settings
from state.ids import public_id
from state.retention import forget_old
from tests.runtime.harness import Platform, platform, worker_process, working
from tests.sample.family import Ask

QUICK = Retry(attempts=2, steps_seconds=(0.01,))
ONCE = Retry(attempts=1)


class Plan(Event):
    what: str = ""


class Part(Event):
    number: int
    line: str | None = None


class Rest(Event):
    pass


async def children(found: Platform) -> int:
    return int(await found.value("SELECT count(*) FROM child"))


async def test_the_result_of_a_child_comes_back(settings: Settings) -> None:
    @function()
    async def part(event: Part, ctx: Context) -> Any:
        return {"number": event.number, "shop": ctx.shop.name if ctx.shop else None}

    @function()
    async def plan(event: Plan, ctx: Context) -> Any:
        return await ctx.call(Part(number=3))

    async with working(settings, [plan, part]) as found:
        async with found.database.engine() as connection:
            await connection.execute("INSERT INTO shop (tenant, name) VALUES (7, 'zapatos')")
        outcome = await found.run(Plan(), tenant=7)
    assert outcome.result == '{"number":3,"shop":"zapatos"}'


async def test_many_children_are_called_at_once(settings: Settings) -> None:
    together = asyncio.Barrier(5)

    @function()
    async def part(event: Part, ctx: Context) -> int:
        await together.wait()
        return event.number**2

    @function()
    async def plan(event: Plan, ctx: Context) -> Any:
        named = {"two": Part(number=2), "three": Part(number=3)}
        listed = [Part(number=4), Part(number=5, line="a"), Part(number=6)]
        return await asyncio.gather(ctx.gather(named), ctx.gather(listed))

    async with working(settings, [plan, part]) as found:
        outcome = await found.run(Plan())
    assert outcome.result == '[{"two":4,"three":9},[16,25,36]]'


async def test_a_later_attempt_joins_the_child_of_the_first(settings: Settings) -> None:
    calm = asyncio.Event()

    @function()
    async def part(event: Part, ctx: Context) -> str:
        await calm.wait()
        return ctx.invocation

    @function(retry=QUICK)
    async def plan(event: Plan, ctx: Context) -> Any:
        if ctx.attempt == 1:
            call = asyncio.ensure_future(ctx.call(Part(number=1)))
            while not await children(found):
                await asyncio.sleep(0.01)
            call.cancel()
            raise ValueError("broken off")
        calm.set()
        return await ctx.call(Part(number=1))

    async with working(settings, [plan, part]) as found:
        outcome = await found.run(Plan())
        assert await found.value("SELECT count(*) FROM invocation") == 2
        child = await found.value("SELECT id FROM child")
    assert outcome.result == f'"{public_id(child)}"'


async def test_an_answer_is_kept_like_that_of_a_step(settings: Settings) -> None:
    runs: list[int] = []

    @function()
    async def part(event: Part, ctx: Context) -> int:
        runs.append(event.number)
        return len(runs)

    @function(retry=QUICK)
    async def plan(event: Plan, ctx: Context) -> Any:
        answer = await ctx.call(Part(number=1), name="first")
        if ctx.attempt == 1:
            raise ValueError("after the answer")
        return answer

    async with working(settings, [plan, part]) as found:
        outcome = await found.run(Plan())
        detail = await found.invocations.get(outcome.id)
    assert (outcome.result, len(runs)) == ("1", 1)
    assert detail is not None
    assert [(one.name, one.result) for one in detail.steps] == [("first", "1")]


async def test_a_child_that_fails_for_good_is_told_with_id_and_reason(settings: Settings) -> None:
    @function(retry=ONCE)
    async def part(event: Part, ctx: Context) -> None:
        if event.number == 1:
            raise ValueError("no such part")
        raise Cancel("not made any more")

    @function(retry=ONCE)
    async def plan(event: Plan, ctx: Context) -> Any:
        said = []
        for number in (1, 2):
            try:
                await ctx.call(Part(number=number), name=f"part {number}")
            except ChildFailed as failed:
                said.append([failed.child, failed.state, failed.reason])
        return said

    async with working(settings, [plan, part]) as found:
        outcome = await found.run(Plan())
        ids = await found.value("SELECT array_agg(id ORDER BY name) FROM child")
    dead, cancelled = map(public_id, ids)
    assert outcome.result == (
        f'[["{dead}","dead","ValueError: no such part"],'
        f'["{cancelled}","cancelled","not made any more"]]'
    )


async def test_one_that_fails_among_many_fails_the_call_at_once(settings: Settings) -> None:
    never = asyncio.Event()

    @function(retry=ONCE)
    async def part(event: Part, ctx: Context) -> None:
        if event.number == 1:
            raise ValueError("broken")
        await never.wait()

    @function(retry=ONCE)
    async def plan(event: Plan, ctx: Context) -> Any:
        await ctx.gather({"good": Part(number=0), "bad": Part(number=1)})

    async with working(settings, [plan, part]) as found:
        outcome = await found.run(Plan())
        never.set()
    assert outcome.state == "dead"
    assert "ValueError: broken" in (outcome.error or "")


async def test_who_cancels_a_parent_cancels_its_children(settings: Settings) -> None:
    started = asyncio.Event()

    @function()
    async def part(event: Part, ctx: Context) -> None:
        started.set()
        await asyncio.sleep(60)

    @function()
    async def plan(event: Plan, ctx: Context) -> None:
        await ctx.dispatch(Rest())
        await ctx.gather([Part(number=1), Part(number=2, line="x"), Part(number=3, line="x")])

    @function()
    async def rest(event: Rest, ctx: Context) -> None: ...

    async with working(settings, [plan, part, rest]) as found:
        receipt = await found.dispatcher.dispatch(Plan(), wait=True)
        await started.wait()
        await found.zero("SELECT 3 - count(*) FROM child")
        assert await found.invocations.cancel(receipt.id, actor="test") == "cancelling"
        assert (await found.end_of(receipt.id)).state == "cancelled"
        await found.zero("SELECT count(*) FROM work")
        ended = await found.value("SELECT array_agg(state) FROM outcome")
    assert ended == [b"c"] * 4


async def test_a_parent_that_is_being_cancelled_calls_nobody(settings: Settings) -> None:
    ready, asked = asyncio.Event(), asyncio.Event()

    @function()
    async def part(event: Part, ctx: Context) -> None: ...

    @function()
    async def plan(event: Plan, ctx: Context) -> None:
        ready.set()
        await asked.wait()
        await ctx.call(Part(number=1))

    async with working(settings, [plan, part]) as found:
        receipt = await found.dispatcher.dispatch(Plan(), wait=True)
        await ready.wait()
        async with found.database.engine() as connection:  # asked for, and nobody was told yet
            await connection.execute(
                "INSERT INTO cancellation (id, worker) SELECT id, worker FROM work"
            )
        asked.set()
        assert (await found.end_of(receipt.id)).state == "cancelled"
        assert await children(found) == 0


async def test_a_child_in_the_lane_of_its_parent_is_refused_at_once(settings: Settings) -> None:
    class Step(Event):
        line: str

    class Inner(Event):
        line: str

    @function(lane="line", namespace="book")
    async def inner(event: Inner, ctx: Context) -> str:
        return "in"

    @function(lane="line", namespace="book", retry=ONCE)
    async def outer(event: Step, ctx: Context) -> Any:
        return await ctx.call(Inner(line="a"))

    async with working(settings, [outer, inner]) as found:
        refused = await found.run(Step(line="a"))
        fine = await found.run(Step(line="b"))
    assert refused.state == "dead"
    assert "same lane" in (refused.error or "")
    assert fine.result == '"in"'


async def test_a_name_that_comes_with_another_event_is_refused(settings: Settings) -> None:
    @function()
    async def part(event: Part, ctx: Context) -> None:
        await asyncio.sleep(60)

    @function(retry=QUICK)
    async def plan(event: Plan, ctx: Context) -> Any:
        call = asyncio.ensure_future(ctx.call(Part(number=ctx.attempt)))
        while not call.done() and (ctx.attempt == 2 or not await children(found)):
            await asyncio.sleep(0.01)
        if call.done():
            await call
        call.cancel()
        raise ValueError("again")

    async with working(settings, [plan, part]) as found:
        outcome = await found.run(Plan())
    assert "called with another event" in (outcome.error or "")


async def test_the_parent_is_told_and_does_not_poll(settings: Settings, monkeypatch: Any) -> None:
    monkeypatch.setattr("runtime.replies.LOOK_SECONDS", 3600.0)

    @function()
    async def part(event: Part, ctx: Context) -> int:
        await asyncio.sleep(0.05)
        return event.number

    @function()
    async def plan(event: Plan, ctx: Context) -> Any:
        began = time.monotonic()
        await ctx.call(Part(number=1))
        return time.monotonic() - began < 30

    async with working(settings, [plan, part]) as found:
        outcome = await found.run(Plan())
    assert outcome.result == "true"


async def test_a_killed_parent_finds_its_child_again(settings: Settings, tmp_path: Path) -> None:
    async with (
        platform(settings, load_registry("tests.sample")) as found,
        worker_process(settings, tmp_path, "ask") as parents,
        worker_process(settings, tmp_path, "reply"),
    ):
        receipt = await found.dispatcher.dispatch(Ask(seconds=1.5), wait=True)
        await found.zero("SELECT 1 - count(*) FROM child")
        parents.kill()
        async with worker_process(settings, tmp_path, "ask"):
            outcome = await found.end_of(receipt.id, seconds=30)
        child = await found.value("SELECT id FROM child")
        assert await found.value("SELECT count(*) FROM invocation") == 2
    assert outcome.result == f'"{public_id(child)}"'


async def test_parent_and_child_that_were_hit_by_a_crash_do_not_wait_for_each_other(
    settings: Settings, tmp_path: Path
) -> None:
    async with (
        platform(settings, load_registry("tests.sample")) as found,
        worker_process(settings, tmp_path) as first,
    ):
        receipt = await found.dispatcher.dispatch(Ask(seconds=1), wait=True)
        await found.zero("SELECT 2 - count(*) FROM work WHERE worker IS NOT NULL")
        first.kill()
        async with worker_process(settings, tmp_path):
            outcome = await found.end_of(receipt.id, seconds=40)
    assert outcome.state == "done"


async def test_the_call_of_a_function_is_forgotten_with_it(settings: Settings) -> None:
    @function()
    async def part(event: Part, ctx: Context) -> None: ...

    @function()
    async def plan(event: Plan, ctx: Context) -> None:
        await ctx.call(Part(number=1))

    async with working(settings, [plan, part]) as found:
        await found.run(Plan())
        async with found.database.engine() as connection:
            await connection.execute("UPDATE outcome SET done_at = now() - interval '31 days'")
        await forget_old(found.database)
        assert await children(found) == 0
