"""Messages of a conversation, in both directions."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from state.database import Connection
from state.queries import load

SQL = load("messages")

NO_ANSWER = 0
"""`turn` of an incoming message that asks for none: a reaction, an edit, a system note."""


class Message(NamedTuple):
    """One message."""

    message_id: int
    conversation_id: int
    direction: str
    """`in` or `out`."""
    author: str
    """`shopper`, `agent`, `person`, or `phone`: typed in the merchant's own WhatsApp."""
    wamid: str | None
    kind: str
    """As the provider names it: text, image, …"""
    body: str | None
    """What a person reads: text, caption, title; None: nothing."""
    content: dict[str, Any]
    at: datetime
    """in: the provider's time; out: when it was written."""
    late: bool
    """in: older than something already answered."""
    edited_at: datetime | None
    revoked_at: datetime | None
    turn: int | None
    """in: the invocation that dealt with it, NO_ANSWER, or None: nobody yet. out: who wrote it."""
    state: str | None
    """out: pending, sending, accepted, sent, delivered, read, failed, unknown, withheld."""
    problem: str | None
    """out: why it failed or was withheld, in words."""


async def unanswered(connection: Connection, tenant: int, conversation_id: int) -> list[Message]:
    """Return what asks for an answer and has none, oldest first by the provider's time."""
    return _messages(await connection.fetch(SQL["unanswered"], tenant, conversation_id))


async def history(
    connection: Connection, tenant: int, conversation_id: int, limit: int
) -> list[Message]:
    """Return the newest `limit` messages, the oldest of them first."""
    return _messages(await connection.fetch(SQL["history"], tenant, conversation_id, limit))


class Answered(NamedTuple):
    """What became of a shopper's message."""

    conversation_id: int
    outcome: str | None
    """replied, handed_over, silent, failed; None: nothing yet."""
    reason: str | None
    reply: str | None
    state: str | None
    """Of the reply."""
    problem: str | None


async def answer_to(connection: Connection, tenant: int, wamid: str) -> Answered | None:
    """Return what became of a message of a shopper; None: it is not here yet."""
    row = await connection.fetchrow(SQL["answer_to"], tenant, wamid)
    return Answered(*row) if row else None


async def mark_answered(
    connection: Connection, tenant: int, message_ids: Sequence[int], turn: int
) -> None:
    """Say which invocation dealt with these messages. Safe to run twice."""
    await connection.execute(SQL["mark_answered"], tenant, list(message_ids), turn)


def _messages(rows: Sequence[Any]) -> list[Message]:
    found = []
    for row in rows:
        values = dict(row)
        values["content"] = json.loads(values["content"])
        found.append(Message(**values))
    return found
