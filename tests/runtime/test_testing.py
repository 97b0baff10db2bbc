"""A function can be tried without servers."""

import pytest

from functions.hello import Hello, hello
from runtime import Context, Event, function
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
