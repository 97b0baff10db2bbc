"""Outgoing messages: queued once per cause, and moved forward by what becomes known of them.

A message's state only moves forward: pending, sending, accepted, sent, failed, delivered, read.
Statuses come in any order and any number; `failed` stands below `delivered`, so whatever order
they came in, the end is the same, and a failure that came after the delivery is kept as a note.
`withheld` and `unknown` are where we stopped; any later evidence leads on from there.

Locks are taken in one order everywhere: attempt, message, then the rest.
"""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from state.channels import stop_channel
from state.database import Connection
from state.queries import load
from state.rules.limits import TEXT_LIMIT, sendable
from state.rules.refusals import Remedy, problem_of, refusal_of

SQL = load("outbound")

STATUSES = {"sent": "sent", "delivered": "delivered", "read": "read", "played": "read"}
"""The provider's statuses and our states; others only prove that the provider has it."""
FAILED = "failed"


async def queue(
    connection: Connection,
    tenant: int,
    conversation_id: int,
    *,
    author: str,
    cause_key: str,
    body: str,
    class_: str = "reply",
    turn: int | None = None,
) -> int | None:
    """Store a text to be sent; returns its id, or None: that cause has its message already.

    The caller then dispatches `MessageSend` in the same transaction.

    Args:
        connection: in a transaction bound to the shop.
        tenant: the shop.
        conversation_id: to whom.
        author: `agent` or `person`.
        cause_key: why it is sent, e.g. `turn:<invocation>`: one message per cause, for ever.
        body: at most 4,096 characters (`state.rules.limits.clamp_text`).
        class_: `reply`, `notice` or `marketing`.
        turn: the invocation that wrote it.

    Raises:
        ValueError: the text is empty or too long.
        LookupError: the shop has no such conversation.
    """
    body = sendable(body)
    if not body:
        raise ValueError("an empty text cannot be sent")
    if len(body) > TEXT_LIMIT:
        raise ValueError(
            f"the text has {len(body):,} characters; WhatsApp takes {TEXT_LIMIT:,}."
            " Shorten it with clamp_text, or send two"
        )
    content: Mapping[str, Any] = {"type": "text", "text": {"preview_url": False, "body": body}}
    row = await connection.fetchrow(
        SQL["queue"],
        tenant,
        conversation_id,
        author,
        cause_key,
        body,
        json.dumps(content),
        class_,
        turn,
    )
    if row is None:
        raise LookupError(f"this shop has no conversation {conversation_id}")
    message_id: int | None = row["message_id"]
    return message_id


async def decide_by_status(
    connection: Connection,
    tenant: int,
    *,
    wamid: str,
    attempt: UUID | None,
    status: str,
    code: int | None = None,
    problem: str | None = None,
) -> bool:
    """Take in one status of a message; False: it is none of ours.

    Any number of repeats in any order ends in the same state. It may come before the answer to
    the POST is stored.

    Args:
        connection: in a transaction bound to the shop.
        tenant: the shop.
        wamid: the provider's id of the message.
        attempt: what `functions.channels.token.attempt_of` found in the status.
        status: as the provider names it; unknown ones pass.
        code: of a failure.
        problem: what the provider says of it; shown when we do not know the code.
    """
    found = await connection.fetchrow(SQL["told_of"], tenant, attempt, wamid)
    if found is None:
        return False
    message_id: int = found["message_id"]
    if found["state"] not in (None, "accepted"):
        await accept(connection, tenant, found["attempt_id"], wamid, decided_by="status")
    words = None
    if status == FAILED:
        words = problem_of(code, problem)
        await _take_failure(connection, tenant, message_id, code, words)
    await connection.execute(
        SQL["forward"], tenant, message_id, STATUSES.get(status, status), words
    )
    if found["started_at"] is not None:
        await connection.execute(SQL["watermark"], tenant, message_id, found["started_at"])
    return True


async def accept(
    connection: Connection,
    tenant: int,
    attempt: UUID,
    wamid: str,
    *,
    decided_by: str,
    state: str = "accepted",
    http_status: int | None = None,
) -> None:
    """Record that the provider has the message: a fact, whoever owns the work now.

    An attempt that was given up is accepted after all. When another one is under way or was
    accepted meanwhile, the person may have got the message twice: an alert says so.

    Args:
        connection: in a transaction bound to the shop.
        tenant: the shop.
        attempt: which.
        wamid: the provider's id.
        decided_by: `response` or `status`.
        state: how far the message is already (the simulated phone delivers at once).
        http_status: of the answer.
    """
    fate = await connection.fetchval(
        SQL["accept"], tenant, attempt, wamid, decided_by, state, http_status
    )
    if fate is None:  # given up before, or decided already
        message_id = await connection.fetchval(
            SQL["accept_late"], tenant, attempt, wamid, decided_by, http_status
        )
        if message_id is not None:
            await connection.execute(SQL["forward"], tenant, message_id, state, None)
            await connection.execute(SQL["name"], tenant, message_id, wamid)


async def raise_alert(
    connection: Connection, tenant: int, kind: str, subject: int, message: str
) -> None:
    """Tell people, once: an open alert of this kind about this subject stays as it is."""
    await connection.execute(SQL["alert"], tenant, kind, subject, message)


async def _take_failure(
    connection: Connection, tenant: int, message_id: int, code: int | None, words: str
) -> None:
    """Tell people of a failure that came as a status, and act on what it means for others."""
    remedy = refusal_of(code).remedy
    await raise_alert(
        connection, tenant, "send_failed", message_id, f"A message was not delivered: {words}."
    )
    if remedy is Remedy.STOP:
        channel_id = await connection.fetchval(SQL["channel_of"], tenant, message_id)
        await stop_channel(connection, tenant, channel_id, words)
        text = f"A number was stopped: {words}. Its messages wait; resume it when that is done."
        await raise_alert(connection, tenant, "channel", channel_id, text)
    if remedy is Remedy.OPT_OUT:
        await connection.execute(SQL["opt_out"], tenant, message_id)
