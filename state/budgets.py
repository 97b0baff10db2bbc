"""Budgets: reserve before a paid call, settle after it (`state/routines/65_budget.sql`)."""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from state.database import Connection, repeated
from state.queries import load
from state.work import Claimed

SQL = load("budgets")

UNFLUSHED = "FROM set_config('synchronous_commit', 'off', true)"
"""Nobody waits for the disk: the answer is stored right after the call, and with it whatever was
committed before. A crash of Postgres in between may forget what this one call took."""

RUN, CONVERSATION, DAY = "run", "conversation", "day"


class Budget(NamedTuple):
    """A limit of tokens that a call has to fit in."""

    scope: str
    """RUN: the invocation. CONVERSATION: one, in a day. DAY: everything of the shop in a day, which
    begins at midnight in the shop's own time zone."""
    most: int
    subject: int = 0
    """CONVERSATION: which."""


class Account(NamedTuple):
    """What became of a budget."""

    shop: str
    scope: str
    subject: int
    """The conversation, or the invocation of a run; 0: the whole shop."""
    day: date | None
    """None: a run."""
    spent: int
    reserved: int
    """By calls under way."""
    most: int


async def reserve(
    connection: Connection,
    worker: int,
    claimed: Claimed,
    call: str,
    holder: int,
    tokens: int,
    within: Sequence[Budget],
) -> str | None:
    """Reserve tokens for a call in all these budgets; returns the scope without room. None: done.

    Safe to run twice: a call has one reservation, whichever attempt makes it.

    Args:
        connection: as the engine.
        worker: our number.
        claimed: what the attempt owns.
        call: its name within the invocation.
        holder: a random number that `settle` has to repeat.
        tokens: at most so many, above 0.
        within: each scope once.

    Raises:
        WorkLost: the invocation belongs to another worker by now.
    """
    run = next((one.most for one in within if one.scope == RUN), None)
    kept = [one for one in within if one.scope != RUN]
    found: str | None = await repeated(
        lambda: connection.fetchval(
            f"SELECT reserve_tokens($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) {UNFLUSHED}",
            claimed.id,
            worker,
            claimed.epoch,
            claimed.tenant,
            claimed.lane,
            call,
            holder,
            tokens,
            run,
            [one.scope for one in kept],
            [one.subject for one in kept],
            [one.most for one in kept],
        )
    )
    return found


async def settle(
    connection: Connection, invocation: int, call: str, holder: int, tokens: int
) -> bool:
    """Say what a call took. A fact, so nobody is asked who may. As the engine.

    False: it was settled before, or a later attempt has taken the call over. Safe to run twice.
    """
    return bool(
        await repeated(
            lambda: connection.fetchval(
                f"SELECT settle_tokens($1, $2, $3, $4) {UNFLUSHED}",
                *(invocation, call, holder, tokens),
            )
        )
    )


async def accounts(connection: Connection, tenant: int | None = None) -> list[Account]:
    """Return today's budgets of all shops, or of one, and those of runs under way. As the engine.

    A shop that has spent nothing today is there with its limit.
    """
    rows = await connection.fetch(SQL["accounts"], tenant)
    return [Account(*row) for row in rows]
