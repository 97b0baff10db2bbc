"""A function can be tried without servers."""

import pytest

from functions.hello import Hello, hello
from runtime import Cancel, ChildFailed, Context, Event, function
from runtime.errors import CallError
from runtime.testing import Trial


class Buy(Event):
    pass


async def test_hello_greets_by_name() -> None:
    trial = Trial(hello)
    assert await trial.run(Hello(name="Ñandú")) == "Hello, Ñandú!"
    assert trial.dispatched == []


async def test_a_trial_shows_what_was_emitted() -> None:
    @function()
    async def talk(event: Buy, ctx: Context) -> None:
        await ctx.emit({"pair": (1, 2)})
        await ctx.emit("word")

    trial = Trial(talk)
    await trial.run(Buy())
    await trial.run(Buy())
    assert trial.emitted == [{"pair": [1, 2]}, "word"]


async def test_a_trial_runs_what_is_called_or_is_told_its_answer() -> None:
    @function()
    async def parent(event: Buy, ctx: Context) -> object:
        first = await ctx.call(Hello(name="Ana"))
        return [first, *await ctx.gather([Hello(name="Bea"), Hello(name="Eva")])]

    trial = Trial(parent, children=[hello])
    assert await trial.run(Buy()) == ["Hello, Ana!", "Hello, Bea!", "Hello, Eva!"]
    assert trial.called == [Hello(name="Ana"), Hello(name="Bea"), Hello(name="Eva")]

    told = Trial(parent, children=[hello])
    told.steps["hello"], told.steps["gather-1"] = "who?", "what?"
    assert await told.run(Buy()) == ["who?", "Hello, Bea!", "what?"]
    with pytest.raises(CallError, match="nobody answers Hello"):
        await Trial(parent).run(Buy())


async def test_a_trial_tells_the_parent_of_a_failed_child() -> None:
    @function()
    async def gone(event: Buy, ctx: Context) -> None:
        raise Cancel("the order is gone")

    @function()
    async def parent(event: Hello, ctx: Context) -> str:
        try:
            await ctx.call(Buy())
        except ChildFailed as failed:
            return f"{failed.state}: {failed.reason}"
        return "fine"

    assert await Trial(parent, children=[gone]).run(Hello()) == "cancelled: the order is gone"


async def test_a_trial_remembers_steps_and_forgets_what_a_failed_attempt_dispatched() -> None:
    calls: list[int] = []

    async def pay() -> tuple[int, int]:
        calls.append(1)
        return (1, 2)

    @function()
    async def buy(event: Buy, ctx: Context) -> object:
        await ctx.dispatch(Hello(name=f"attempt {ctx.attempt}"))
        paid = await ctx.step("pay", pay, writes=True)
        if ctx.attempt == 1:
            raise ValueError("after paying")
        return paid

    trial = Trial(buy)
    with pytest.raises(ValueError, match="after paying"):
        await trial.run(Buy())
    assert trial.dispatched == []
    assert await trial.run(Buy()) == [1, 2]
    assert trial.dispatched == [Hello(name="attempt 2")]
    assert len(calls) == 1
