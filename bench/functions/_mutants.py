"""Two ways to be wrong."""

import asyncio
from typing import Any

import runtime.platform
from runtime.dispatch import Dispatcher, Receipt
from state.database import Connection, become
from state.work import Claimed

_tasks: set[asyncio.Task[Any]] = set()


def plant(name: str) -> None:
    """Plant a mutant by name; the empty name plants none."""
    if name == "fence":
        setattr(runtime.platform, "enter", _always_ours)  # noqa: B010 - mypy minds otherwise
    elif name == "ack_before_commit":
        Dispatcher.dispatch = _acknowledge_first  # type: ignore[method-assign]
    elif name:
        raise ValueError(f"no mutant {name!r}: fence, ack_before_commit")


async def _always_ours(connection: Connection, _: int, claimed: Claimed, roles: bool) -> bool:
    """Commit whoever owns the work by now."""
    await become(connection, claimed.tenant, roles)
    return True


_dispatch = Dispatcher.dispatch


async def _acknowledge_first(self: Dispatcher, event: Any, **options: Any) -> Receipt:
    """Answer before anything is stored."""

    async def store() -> None:
        await asyncio.sleep(0.2)
        await _dispatch(self, event, **options)

    task = asyncio.create_task(store())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return Receipt(1, False)
