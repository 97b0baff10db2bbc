"""An errand in steps. Safe to run twice: its steps are remembered."""

from typing import Any

from functions.hello import Hello
from runtime import Context, Event, Retry, function


class Errand(Event):
    """Go and pay."""

    what: str = "bread"
    fail: bool = False


LOG: list[str] = []
"""Which steps were really made."""


@function(retry=Retry(attempts=1))
async def errand(event: Errand, ctx: Context) -> Any:
    """Look, pay, carry; tell what each step answered."""

    async def made(name: str, answer: Any) -> Any:
        LOG.append(name)
        return answer

    seen = await ctx.step("look", lambda: made("look", {"price": 3, "what": event.what}))
    paid = await ctx.step("pay", lambda: made("pay", seen["price"]), writes=True)
    home = await ctx.step("carry", lambda: made("carry", f"{event.what} for {paid}"))
    if event.fail:
        raise ValueError("dropped it")
    await ctx.dispatch(Hello(name=home))
    return [seen["price"], paid, home]
