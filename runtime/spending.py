"""A paid call within budgets: reserve before it, settle after it.

Safe to run twice: a call of an invocation has one reservation, which a repeated attempt takes over;
what was settled stays settled. What nobody settles is free again when the run ends.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from runtime.attempt import Attempt
from runtime.context import Reserved
from runtime.errors import BudgetSpent, LeaseLost
from runtime.steps import patiently
from state import budgets
from state.budgets import Budget
from state.database import Database
from state.errors import WorkLost


@asynccontextmanager
async def spending(
    database: Database,
    worker: int,
    attempt: Attempt,
    call: str,
    tokens: int,
    within: Sequence[Budget],
) -> AsyncIterator[Reserved]:
    """Reserve, lend, settle; see `Context.spending`."""
    claimed, holder = attempt.claimed, secrets.randbits(62)

    async def reserve() -> str | None:
        async with database.engine() as connection:
            return await budgets.reserve(connection, worker, claimed, call, holder, tokens, within)

    try:
        without_room = await patiently(reserve)
    except WorkLost:
        raise LeaseLost from None
    if without_room is not None:
        raise BudgetSpent(without_room)
    lent = Reserved(tokens)
    try:
        yield lent
        if lent.settled is None:
            lent.settle(tokens)
    finally:
        if lent.settled is not None:
            attempt.tokens += lent.settled
            await _settle(database, claimed.id, call, holder, lent.settled)


async def _settle(database: Database, invocation: int, call: str, holder: int, tokens: int) -> None:
    async def settle() -> bool:
        async with database.engine() as connection:
            return await budgets.settle(connection, invocation, call, holder, tokens)

    # It has happened: it is recorded even if the attempt is being cancelled.
    await asyncio.shield(asyncio.ensure_future(patiently(settle)))
