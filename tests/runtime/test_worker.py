"""What a function sees, and what becomes of its attempts."""

import asyncio
import re
from typing import Any

import pytest
from pydantic import BaseModel

from runtime import Cancel, Context, Event, Merge, Retry, Snooze, function
from runtime.errors import StepError
from runtime.registry import Registry
from runtime.settings import Settings
from runtime.shops import Shops
from runtime.worker import work
from state.errors import DatabaseAway
from state.ids import public_id
from tests.runtime.harness import working

QUICK = Retry(attempts=3, steps_seconds=(0.01,))


class Child(Event):
    pass


class Task(Event):
    what: str = ""


class Other(Event):
    line: str = ""
    book: str | None = None


async def test_a_result_comes_back_as_json(settings: Settings) -> None:
    class Money(BaseModel):
        amount: int

    @function()
    async def price(event: Task, ctx: Context) -> Any:
        return {"price": Money(amount=3), "accent": "añ€"}

    async with working(settings, [price]) as platform:
        outcome = await platform.run(Task())
    assert (outcome.state, outcome.result) == ("done", '{"price":{"amount":3},"accent":"añ€"}')


async def test_the_context_names_invocation_attempt_and_shop(settings: Settings) -> None:
    @function()
    async def look(event: Task, ctx: Context) -> Any:
        shop = ctx.shop.name if ctx.shop else None
        return [ctx.invocation, ctx.attempt, ctx.function, shop, 0 < ctx.seconds_left() <= 60]

    async with working(settings, [look]) as platform:
        async with platform.database.engine() as connection:
            await connection.execute("INSERT INTO shop (tenant, name) VALUES (7, 'zapatos')")
        first = await platform.run(Task())
        second = await platform.run(Task(), tenant=7)
    assert first.result == f'["{public_id(first.id)}",1,"look",null,true]'
    assert second.result == f'["{public_id(second.id)}",1,"look","zapatos",true]'


async def test_a_failed_attempt_is_repeated_until_it_succeeds(settings: Settings) -> None:
    @function(retry=QUICK)
    async def flaky(event: Task, ctx: Context) -> int:
        if ctx.attempt < 3:
            raise ValueError("not yet")
        return ctx.attempt

    async with working(settings, [flaky]) as platform:
        outcome = await platform.run(Task())
        detail = await platform.invocations.get(outcome.id)
    assert outcome.result == "3"
    assert detail is not None
    assert [(one.attempt, one.message) for one in detail.failures] == [
        (1, "ValueError: not yet"),
        (2, "ValueError: not yet"),
    ]


async def test_the_last_failed_attempt_makes_it_dead_and_seen(settings: Settings) -> None:
    @function(retry=QUICK)
    async def broken(event: Task, ctx: Context) -> None:
        raise ValueError("never \0 \ud800 works")

    async with working(settings, [broken]) as platform:
        outcome = await platform.run(Task())
        assert await platform.value("SELECT subject FROM alert WHERE kind = 'dead'") == outcome.id
    assert (outcome.state, outcome.error) == ("dead", "ValueError: never  ? works")


async def test_a_replay_runs_the_dead_again_and_closes_the_alert(settings: Settings) -> None:
    healthy = asyncio.Event()

    @function(retry=Retry(attempts=1))
    async def sick(event: Task, ctx: Context) -> str:
        if not healthy.is_set():
            raise ValueError("sick")
        return "well"

    async with working(settings, [sick]) as platform:
        dead = await platform.run(Task())
        healthy.set()
        assert await platform.invocations.replay(dead.id, actor="test") == "replayed"
        await platform.until(dead.id, "done")
        assert await platform.invocations.replay(dead.id, actor="test") == "done"
        assert await platform.value("SELECT count(*) FROM alert WHERE resolved_at IS NULL") == 0


async def test_cancel_verdict_ends_it_for_good(settings: Settings) -> None:
    @function()
    async def refuse(event: Task, ctx: Context) -> None:
        raise Cancel("the order is gone")

    async with working(settings, [refuse]) as platform:
        outcome = await platform.run(Task())
    assert (outcome.state, outcome.error) == ("cancelled", "the order is gone")


async def test_snooze_runs_it_later_without_a_failed_attempt(settings: Settings) -> None:
    seen: list[int] = []

    @function(retry=Retry(attempts=1))
    async def later(event: Task, ctx: Context) -> str:
        seen.append(ctx.attempt)
        if len(seen) < 3:
            raise Snooze(0.01)
        return "now"

    async with working(settings, [later]) as platform:
        assert (await platform.run(Task())).result == '"now"'
    assert seen == [1, 1, 1]


async def test_that_postgres_was_away_is_no_failed_attempt(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.attempt.AWAY_SECONDS", 0.01)
    seen: list[int] = []

    @function(retry=Retry(attempts=1))
    async def unlucky(event: Task, ctx: Context) -> str:
        seen.append(ctx.attempt)
        if len(seen) < 4:
            raise DatabaseAway("it is being started again")
        return "back"

    async with working(settings, [unlucky]) as platform:
        outcome = await platform.run(Task())
        detail = await platform.invocations.get(outcome.id)
    assert outcome.result == '"back"'
    assert seen == [1, 1, 1, 1]
    assert detail is not None
    assert detail.failures == []


@pytest.mark.parametrize(
    ("error", "attempt"), [(DatabaseAway("gone"), 1), (RuntimeError("ours"), 2)]
)
async def test_what_fails_around_a_handler_does_not_keep_its_lane(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception, attempt: int
) -> None:
    read = Shops.numbered

    async def numbered(shops: Shops, tenant: int) -> Any:
        monkeypatch.setattr(Shops, "numbered", read)
        raise error

    monkeypatch.setattr(Shops, "numbered", numbered)

    @function(retry=QUICK, lane="book")
    async def write(event: Other, ctx: Context) -> int:
        return ctx.attempt

    async with working(settings, [write]) as platform:
        outcome = await platform.run(Other(book="a"))
    assert (outcome.state, outcome.result) == ("done", str(attempt))


async def test_a_handler_that_spoils_its_own_connection_fails_in_the_end(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.attempt.FORGIVING_SECONDS", 0.0)

    @function(retry=Retry(attempts=1))
    async def careless(event: Task, ctx: Context) -> None:
        raise DatabaseAway("its own fault")

    async with working(settings, [careless]) as platform:
        outcome = await platform.run(Task())
    assert (outcome.state, outcome.error) == ("dead", "DatabaseAway: its own fault")


async def test_an_attempt_that_takes_too_long_is_ended(settings: Settings) -> None:
    @function(timeout=0.05, retry=Retry(attempts=1))
    async def slow(event: Task, ctx: Context) -> None:
        await asyncio.sleep(60)

    async with working(settings, [slow]) as platform:
        outcome = await platform.run(Task())
        detail = await platform.invocations.get(outcome.id)
    assert (outcome.state, outcome.error) == ("dead", "ran longer than 0.05 s")
    assert detail is not None
    assert [one.kind for one in detail.failures] == ["timeout"]


async def test_a_running_one_ends_when_somebody_cancels_it(settings: Settings) -> None:
    ended = asyncio.Event()

    @function()
    async def endless(event: Task, ctx: Context) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async with working(settings, [endless]) as platform:
        receipt = await platform.dispatcher.dispatch(Task(), wait=True)
        await platform.until(receipt.id, "running")
        assert await platform.invocations.cancel(receipt.id, actor="test") == "cancelling"
        outcome = await platform.end_of(receipt.id)
    assert (outcome.state, ended.is_set()) == ("cancelled", True)


async def test_a_waiting_one_never_runs_when_somebody_cancels_it(settings: Settings) -> None:
    @function()
    async def never(event: Task, ctx: Context) -> None:
        raise AssertionError("ran")

    async with working(settings, [never]) as platform:
        receipt = await platform.dispatcher.dispatch(Task(), delay_seconds=60, wait=True)
        assert await platform.invocations.cancel(receipt.id, actor="test") == "cancelled"
        assert (await platform.end_of(receipt.id)).state == "cancelled"
        assert await platform.invocations.cancel(receipt.id, actor="test") == "finished"


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({1, object}, "no JSON form: .*<class 'type'>"),
        (float, "no JSON form: .*<class 'type'>"),
        ("\ud800", "no JSON form: .*surrogates"),
        ({"price": float("nan")}, "no JSON form: NaN is no number in JSON"),
        ([float("-inf")], "no JSON form: -Infinity is no number"),
        ("é" * 550_000, r"1,100,002 bytes; the limit is 1,000,000\. Store the content"),
    ],
)
async def test_a_result_that_cannot_be_kept_fails_alone(
    settings: Settings, bad: Any, says: str
) -> None:
    @function(retry=Retry(attempts=1))
    async def odd(event: Task, ctx: Context) -> Any:
        return bad

    @function()
    async def fine(event: Other, ctx: Context) -> str:
        return "fine"

    async with working(settings, [odd, fine]) as platform:
        first, second = await asyncio.gather(platform.run(Task()), platform.run(Other()))
    assert (first.state, second.state) == ("dead", "done")
    assert re.search(says, str(first.error))


async def test_even_system_exit_only_fails_the_attempt(settings: Settings) -> None:
    @function(retry=Retry(attempts=1))
    async def leave(event: Task, ctx: Context) -> None:
        raise SystemExit(3)

    async with working(settings, [leave]) as platform:
        assert (await platform.run(Task())).error == "SystemExit: 3"


async def test_children_start_only_when_their_parent_ended_well(settings: Settings) -> None:
    lines: list[str] = []

    @function(retry=QUICK)
    async def parent(event: Task, ctx: Context) -> None:
        await ctx.dispatch(Other(line=f"child of attempt {ctx.attempt}"))
        if ctx.attempt == 1:
            raise ValueError("after the dispatch")

    @function()
    async def child(event: Other, ctx: Context) -> None:
        lines.append(event.line)

    async with working(settings, [parent, child]) as platform:
        await platform.run(Task())
        async with asyncio.timeout(10):
            while await platform.value("SELECT count(*) FROM work"):
                await asyncio.sleep(0.02)
    assert lines == ["child of attempt 2"]


async def test_a_step_is_made_once_whatever_happens_after_it(settings: Settings) -> None:
    calls: list[int] = []

    async def pay() -> dict[str, int]:
        calls.append(1)
        return {"paid": 5}

    @function(retry=QUICK)
    async def buy(event: Task, ctx: Context) -> Any:
        answer = await ctx.step("pay", pay, writes=True)
        if ctx.attempt < 3:
            raise ValueError("after paying")
        return answer

    async with working(settings, [buy]) as platform:
        assert (await platform.run(Task())).result == '{"paid":5}'
    assert len(calls) == 1


async def test_an_interrupted_writing_step_is_not_repeated_blindly(settings: Settings) -> None:
    calls: list[int] = []

    async def pay() -> None:
        calls.append(1)
        raise ConnectionError("the answer was lost")

    @function(retry=QUICK)
    async def buy(event: Task, ctx: Context) -> None:
        await ctx.step("pay", pay, writes=True)

    async with working(settings, [buy]) as platform:
        outcome = await platform.run(Task())
    assert outcome.state == "dead"
    assert str(outcome.error).startswith(f"{StepError.__name__}: step 'pay' was interrupted")
    assert len(calls) == 1


async def test_an_interrupted_writing_step_is_resolved(settings: Settings) -> None:
    calls: list[str] = []

    async def pay() -> str:
        calls.append("pay")
        if len(calls) == 1:
            raise ConnectionError("the answer was lost")
        return "paid now"

    async def look_up() -> str:
        calls.append("look up")
        raise LookupError

    @function(retry=QUICK)
    async def buy(event: Task, ctx: Context) -> Any:
        return await ctx.step("pay", pay, writes=True, resolve=look_up)

    async with working(settings, [buy]) as platform:
        assert (await platform.run(Task())).result == '"paid now"'
    assert calls == ["pay", "look up", "pay"]


async def test_a_transaction_sees_its_shop_and_commits_with_its_dispatch(
    settings: Settings,
) -> None:
    lines: list[str] = []

    @function(retry=QUICK)
    async def count(event: Task, ctx: Context) -> Any:
        async with ctx.transaction() as transaction:
            rows = await transaction.connection.fetch("SELECT tenant FROM shop")
            transaction.dispatch(Other(line=f"attempt {ctx.attempt}"))
            if ctx.attempt == 1:
                raise ValueError("rolls back")
        return [row["tenant"] for row in rows]

    @function()
    async def follow(event: Other, ctx: Context) -> None:
        lines.append(event.line)

    async with working(settings, [count, follow]) as platform:
        async with platform.database.engine() as connection:
            await connection.execute("INSERT INTO shop (tenant, name) VALUES (7, 'a'), (8, 'b')")
        assert (await platform.run(Task(), tenant=7)).result == "[7]"
        async with asyncio.timeout(10):
            while not lines:
                await asyncio.sleep(0.02)
    assert lines == ["attempt 2"]


async def test_events_of_a_lane_run_one_at_a_time_in_order(settings: Settings) -> None:
    seen: list[str] = []
    running = 0

    @function(lane="book", retry=QUICK)
    async def write(event: Other, ctx: Context) -> None:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0)
        running -= 1
        if ctx.attempt == 1 and event.line == "3":
            raise ValueError("holds up the line")
        seen.append(event.line)

    async with working(settings, [write]) as platform:
        events = [Other(line=str(number), book="a") for number in range(8)]
        ids = await platform.dispatcher.dispatch_many(events)
        await platform.until(ids[-1], "done")
    assert seen == [str(number) for number in range(8)]


async def test_events_in_quick_succession_are_one_run(settings: Settings) -> None:
    runs: list[list[str]] = []

    @function(lane="book", burst=Merge(quiet_seconds=0.2, cap_seconds=5))
    async def answer(event: Other, ctx: Context) -> str:
        earlier = [one.line for one in ctx.merged if isinstance(one, Other)]
        runs.append([*earlier, event.line])
        return "answered"

    async with working(settings, [answer]) as platform:
        events = [Other(line=str(number), book="a") for number in range(3)]
        ids = await platform.dispatcher.dispatch_many(events)
        outcomes = [await platform.end_of(number) for number in ids]
    assert runs == [["0", "1", "2"]]
    assert {one.result for one in outcomes} == {'"answered"'}


async def test_a_task_that_outlives_its_attempt_can_do_nothing_in_its_name(
    settings: Settings,
) -> None:
    left: list[Any] = []

    async def linger(ctx: Context) -> None:
        await asyncio.sleep(0.05)
        try:
            await ctx.dispatch(Other())
        except Exception as error:
            left.append(type(error).__name__)

    @function()
    async def careless(event: Task, ctx: Context) -> None:
        left.append(asyncio.create_task(linger(ctx)))

    @function()
    async def follow(event: Other, ctx: Context) -> None:
        raise AssertionError("ran")

    async with working(settings, [careless, follow]) as platform:
        await platform.run(Task())
        await left[0]
    assert left[1] == "LeaseLost"


async def test_without_redis_work_is_found_all_the_same(settings: Settings) -> None:
    @function()
    async def plain(event: Task, ctx: Context) -> str:
        return "found"

    away = settings.model_copy(update={"redis_url": None, "notify_wake": False})
    async with working(away, [plain]) as platform:
        assert (await platform.run(Task(), seconds=5)).result == '"found"'


@pytest.mark.parametrize("way", ["transaction", "outcome"])
async def test_what_a_function_delays_starts_when_it_is_due_without_bell_or_look(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr("runtime.runner.LOOK_SECONDS", 3600)

    @function()
    async def plain(event: Task, ctx: Context) -> None:
        if way == "outcome":
            await ctx.dispatch(Child(), delay_seconds=0.2)
            return
        async with ctx.transaction() as transaction:
            transaction.dispatch(Child(), delay_seconds=0.2)

    @function()
    async def follow(event: Child, ctx: Context) -> None: ...

    away = settings.model_copy(update={"redis_url": None})
    async with working(away, [plain, follow]) as platform:
        await platform.run(Task())
        child = await platform.value("SELECT max(id) FROM invocation")
        assert (await platform.end_of(child, seconds=5)).state == "done"


async def test_a_worker_may_be_cancelled_at_any_moment_of_its_start(settings: Settings) -> None:
    @function()
    async def plain(event: Task, ctx: Context) -> None: ...

    for turns_of_the_loop in range(0, 120, 3):
        task = asyncio.create_task(work(settings, Registry([plain], [])))
        for _ in range(turns_of_the_loop):
            await asyncio.sleep(0.0005)
        task.cancel()
        async with asyncio.timeout(10):
            await asyncio.wait([task])
        assert task.cancelled()
