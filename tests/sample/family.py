"""A parent that asks its child. Safe to run twice: the child is the same one."""

import asyncio

from runtime import Context, Event, Retry, function


class Ask(Event):
    """Ask a child."""

    seconds: float = 0


class Reply(Event):
    """What the child is asked."""

    seconds: float = 0


@function(retry=Retry(attempts=2, steps_seconds=(0.01,)))
async def ask(event: Ask, ctx: Context) -> str:
    """Return what the child says, and who it was."""
    return str(await ctx.call(Reply(seconds=event.seconds), name="child"))


@function()
async def reply(event: Reply, ctx: Context) -> str:
    """Think, and say who this is."""
    await asyncio.sleep(event.seconds)
    return ctx.invocation
