"""Attempts: one row per POST of an outgoing message, written before and after it.

The row is there before the first byte leaves (`begin_attempt`), so whoever comes after a crash
finds it and asks for evidence instead of sending again. What became of it is a fact: it is
recorded without asking who owns the work by now.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from state.database import Connection
from state.keyring import Sealed, SealedSecret
from state.outbound import accept
from state.queries import load
from state.rules.evidence import Silence

SQL = load("attempts")


class OpenAttempt(NamedTuple):
    """An attempt that nobody has decided yet, and what its silence says."""

    attempt_id: UUID
    silence: Silence


class Sending(NamedTuple):
    """An outgoing message with everything that decides about it, as of one moment."""

    message_id: int
    author: str
    class_: str
    state: str
    content: str
    """JSON: the provider's part of the message, e.g. `{"type": "text", "text": {…}}`."""
    conversation_id: int
    holder: str
    window_until: datetime | None
    address_kind: str
    address: str
    channel_id: int
    kind: str
    number: str
    """The channel's own address: its phone_number_id."""
    agent: bool
    stopped: str | None
    opted_out: bool
    hours: str | None
    zone: str
    now: datetime
    farewell: bool
    """The agent's last words as it hands over; no person has written since."""
    token: SealedSecret | None
    """None: the channel has no access token."""
    open: OpenAttempt | None


async def sending(connection: Connection, tenant: int, message_id: int) -> Sending | None:
    """Return an outgoing message and its circumstances; None: the shop has no such message."""
    row = await connection.fetchrow(SQL["sending"], tenant, message_id)
    if row is None:
        return None
    values = dict(row)
    token = None
    key_id, ciphertext = values.pop("key_id"), values.pop("ciphertext")
    identity, version = values.pop("credential_id"), values.pop("version")
    if identity is not None:
        token = SealedSecret(Sealed(tenant, "whatsapp", identity, version), key_id, ciphertext)
    silent = [values.pop(name) for name in Silence._fields]
    attempt_id = values.pop("attempt_id")
    found = None if attempt_id is None else OpenAttempt(attempt_id, Silence(*silent))
    return Sending(class_=values.pop("class"), token=token, open=found, **values)


async def begin_attempt(
    connection: Connection, tenant: int, message_id: int, attempt: UUID, epoch: int
) -> None:
    """Write down that a POST follows. In a fenced transaction.

    Raises:
        RowRejected: another attempt is open, or was accepted.
    """
    await connection.execute(SQL["begin"], tenant, attempt, message_id, epoch)


async def record_accepted(
    connection: Connection,
    tenant: int,
    attempt: UUID,
    wamid: str,
    *,
    state: str = "accepted",
    http_status: int | None = None,
) -> None:
    """Record that the provider answered with its id."""
    await accept(
        connection,
        tenant,
        attempt,
        wamid,
        decided_by="response",
        state=state,
        http_status=http_status,
    )


async def record_rejected(
    connection: Connection,
    tenant: int,
    attempt: UUID,
    *,
    http_status: int | None = None,
    code: int | None = None,
) -> int:
    """Record that this POST certainly sent nothing; returns how often that happened so far.

    0: a status came first and says that it did arrive, which stands.
    """
    message_id = await connection.fetchval(
        SQL["close"], tenant, attempt, "rejected", "response", http_status, code
    )
    refused: int = await connection.fetchval(SQL["refused"], tenant, message_id)
    return refused


async def record_absent(connection: Connection, tenant: int, attempt: UUID) -> bool:
    """Close an attempt that certainly, or as good as certainly, did not arrive.

    A status that comes after all still counts. False: it was decided in the meantime.
    """
    return (
        await connection.fetchval(SQL["close"], tenant, attempt, "absent", "timeout", None, None)
        is not None
    )


async def stop_message(
    connection: Connection, tenant: int, message_id: int, state: str, problem: str
) -> None:
    """End the sending of a message: `withheld`, `failed` or `unknown`, and why, in words."""
    await connection.execute(SQL["stop"], tenant, message_id, state, problem)
