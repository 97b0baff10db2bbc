"""Conversations: one per channel and contact; either the agent or a person holds it."""

from datetime import datetime
from typing import NamedTuple

from state.database import Connection
from state.queries import load

SQL = load("conversations")

AGENT, PERSON = "agent", "person"


class Conversation(NamedTuple):
    """One conversation of one shop."""

    conversation_id: int
    tenant: int
    channel_id: int
    contact_id: int
    address_kind: str
    """`phone` or `bsuid`."""
    address: str
    """Where replies go: the id that was received last."""
    holder: str
    """AGENT or PERSON."""
    held_reason: str | None
    """Why a person has it, in words."""
    window_until: datetime | None
    """Free text may be sent until then; None: nobody has written yet."""
    last_at: datetime


class Listed(NamedTuple):
    """A conversation as lists show it."""

    conversation_id: int
    contact: str | None
    """Name; None: not known."""
    address: str
    channel: str
    """The channel's number as people write it."""
    holder: str
    held_reason: str | None
    window_until: datetime | None
    last_at: datetime
    last_author: str | None
    last_body: str | None
    last_kind: str | None
    last_state: str | None
    unanswered: int
    """Messages that ask for an answer and have none."""
    waiting_since: datetime | None
    """When the oldest of those came; None: nobody waits."""


async def conversation(
    connection: Connection, tenant: int, conversation_id: int, *, lock: bool = False
) -> Conversation | None:
    """Return one conversation of a shop; None: it has no such.

    Args:
        connection: bound to the shop.
        tenant: the shop.
        conversation_id: which.
        lock: hold it until the transaction ends: nobody can take it over meanwhile.
    """
    row = await connection.fetchrow(SQL["lock" if lock else "one"], tenant, conversation_id)
    return Conversation(*row) if row else None


async def conversation_at(
    connection: Connection, tenant: int, channel_id: int, address: str
) -> Conversation | None:
    """Return the conversation with an address on a channel; None: nobody wrote from there."""
    row = await connection.fetchrow(SQL["at"], tenant, channel_id, address)
    return Conversation(*row) if row else None


class Floor(NamedTuple):
    """Who may speak in a conversation."""

    holder: str
    held_reason: str | None
    agent: bool
    """Whether the agent answers on this channel at all."""


async def take_floor(connection: Connection, tenant: int, conversation_id: int) -> Floor | None:
    """Lock a conversation until the transaction ends and say who may speak; None: it is gone.

    Nobody can take it over meanwhile.
    """
    row = await connection.fetchrow(SQL["take_floor"], tenant, conversation_id)
    return Floor(*row) if row else None


async def hand_to_person(
    connection: Connection, tenant: int, conversation_id: int, reason: str
) -> bool:
    """Have a person hold it: the agent is silent. False: a person had it. Safe to run twice."""
    return bool(await connection.fetchval(SQL["hand"], tenant, conversation_id, PERSON, reason))


async def give_to_agent(connection: Connection, tenant: int, conversation_id: int) -> bool:
    """Have the agent answer again. False: it did already. Safe to run twice.

    What came meanwhile is for the person who had it; the agent answers what comes from now on.
    """
    given = await connection.fetchval(SQL["hand"], tenant, conversation_id, AGENT, None)
    return bool(given)


async def conversations(
    connection: Connection,
    tenant: int,
    *,
    limit: int = 50,
    before: datetime | None = None,
    search: str = "",
) -> list[Listed]:
    """Return a shop's conversations, the most recent first.

    Args:
        connection: bound to the shop.
        tenant: the shop.
        limit: at most so many.
        before: only those older than this, for the next page.
        search: part of a name, a number, or a message; accents and case do not matter.
    """
    rows = await connection.fetch(SQL["list"], tenant, limit, before, search.strip())
    return [Listed(*row) for row in rows]
