"""Ways to be wrong, each of which a bench has to notice; and pauses at the worst moment."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import Sequence
from typing import Any

import runtime.platform
import state.leases
from runtime.dispatch import Dispatcher, Receipt
from runtime.intake import Intake
from state.database import Connection, becoming
from state.dispatch import Asked, dispatch
from state.work import Claimed

_tasks: set[asyncio.Task[Any]] = set()


def plant(name: str) -> None:
    """Plant a mutant by name; the empty name plants none."""
    if name == "fence":
        setattr(runtime.platform, "entering", _enter_anyway)  # noqa: B010 - mypy minds otherwise
        setattr(runtime.platform, "leave", _leave_anyway)  # noqa: B010 - as above
        # Else the thread of the lease, which sees its end too, mostly stops the attempt first.
        setattr(state.leases, "renew", _renewed)  # noqa: B010 - as above
    elif name == "guard":
        from functions.channels.channel import Outgoing

        setattr(Outgoing, "check_guard", lambda _: None)  # noqa: B010 - as above
    elif name == "ack_before_commit":
        Dispatcher.dispatch = _acknowledge_first  # type: ignore[method-assign]  # a mutant replaces a method
        setattr(Intake, "take", _take_later)  # noqa: B010 - as above
    elif name:
        raise ValueError(f"no mutant {name!r}: fence, guard, ack_before_commit")


def plant_pauses(share: float) -> None:
    """Have this process stop itself (SIGSTOP) between the intent of a send and its first byte."""
    from functions.channels.cloud_api import CloudApi

    send = CloudApi.send

    async def stop_and_send(self: CloudApi, outgoing: Any) -> Any:
        stand_still(share)
        return await send(self, outgoing)

    CloudApi.send = stop_and_send  # type: ignore[method-assign]  # a mutant replaces a method


def stand_still(share: float) -> None:
    """Stop this process, this often; the bench lets it go on.

    Not in quarantine: the bench does not know those processes, and a child that stands still for
    ever holds up everything else.
    """
    if "--quarantine" not in sys.argv and random.random() < share:
        os.kill(os.getpid(), signal.SIGSTOP)


def _enter_anyway(_: int, claimed: Claimed, roles: bool) -> str:
    """Begin whoever owns the work by now."""
    if '"message_id"' in claimed.event:
        stand_still(float(os.environ.get("BENCH_PAUSE_SHARE", 0)))
    return becoming(claimed.tenant, roles)


async def _renewed(*_: Any) -> bool:
    """Believe that the lease was renewed."""
    return True


async def _leave_anyway(
    connection: Connection, _: int, __: Claimed, roles: bool, asked: Sequence[Asked]
) -> bool:
    """Commit whoever owns the work by now."""
    if roles:
        await connection.execute("SET LOCAL ROLE nexus_engine")
    if asked:
        await dispatch(connection, asked)
    return True


_dispatch, _take = Dispatcher.dispatch, Intake.take


async def _acknowledge_first(self: Dispatcher, event: Any, **options: Any) -> Receipt:
    """Answer before anything is stored."""
    _later(_dispatch(self, event, **options))
    return Receipt(1, False)


async def _take_later(self: Intake, *given: Any) -> int:
    """Answer a provider before anything is stored."""
    _later(_take(self, *given))
    return 1


def _later(call: Any) -> None:
    async def store() -> None:
        await asyncio.sleep(0.2)
        await call

    task = asyncio.create_task(store())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
