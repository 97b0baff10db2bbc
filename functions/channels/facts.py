"""What is written down after a POST, and what follows from it."""

import random
from dataclasses import dataclass

from functions.channels.channel import Accepted, Outgoing, Refused
from state.attempts import record_accepted, record_rejected, stop_message
from state.channels import stop_channel
from state.database import Connection
from state.outbound import raise_alert
from state.rules.numbers import other_form
from state.rules.refusals import FEW_TRIES, Remedy, problem_of, refusal_of, wait_seconds

TOO_MANY_REQUESTS = 429
LONGEST_RETRY_AFTER_SECONDS = 3600.0
UNREACHED = "WhatsApp cannot be reached; messages wait. Look at the network and GRAPH_API_URL."
"""Resolves itself: the next send that is accepted proves the contrary."""
UNREACHED_ALERT = 5
"""Tell people when the provider could not be reached so many times in a row."""


@dataclass(frozen=True)
class Done:
    """Nothing is left to do for this message."""


@dataclass(frozen=True)
class Wait:
    """Look at the message again later."""

    seconds: float


@dataclass(frozen=True)
class TryOther:
    """Send to the other form of the number, now."""

    to: str


Next = Done | Wait | TryOther


async def record(
    connection: Connection,
    tenant: int,
    outgoing: Outgoing,
    outcome: Accepted | Refused,
    *,
    first_form: bool,
) -> Next:
    """Record the outcome of a POST: a fact, whoever owns the work by now. Safe to run twice.

    Args:
        connection: in a transaction bound to the shop.
        tenant: the shop.
        outgoing: what was sent.
        outcome: what became of it.
        first_form: the address was not yet tried in its other form.
    """
    if isinstance(outcome, Accepted):
        await record_accepted(
            connection,
            tenant,
            outgoing.attempt,
            outcome.wamid,
            state=outcome.state,
            http_status=outcome.http_status,
        )
        return Done()
    refused = await record_rejected(
        connection,
        tenant,
        outgoing.attempt,
        http_status=outcome.http_status,
        code=outcome.code,
    )
    if not refused:  # a status says that it did arrive
        return Done()
    return await _after_refusal(connection, tenant, outgoing, outcome, refused, first_form)


async def _after_refusal(
    connection: Connection,
    tenant: int,
    outgoing: Outgoing,
    outcome: Refused,
    refused: int,
    first_form: bool,
) -> Next:
    sending, remedy = outgoing.sending, refusal_of(outcome.code).remedy
    if outcome.http_status is None:
        remedy = Remedy.WAIT
        if refused == UNREACHED_ALERT:
            await raise_alert(connection, tenant, "unreached", sending.channel_id, UNREACHED)
    elif outcome.code is None and outcome.http_status == TOO_MANY_REQUESTS:
        remedy = Remedy.WAIT
    problem = problem_of(outcome.code, outcome.said)
    if remedy is Remedy.STOP:
        await stop_channel(connection, tenant, sending.channel_id, problem)
        text = f"A number was stopped: {problem}. Its messages wait; resume it when that is done."
        await raise_alert(connection, tenant, "channel", sending.channel_id, text)
        return Wait(1.0)
    if remedy is Remedy.OTHER_FORM and first_form and sending.address_kind == "phone":
        other = other_form(outgoing.to)
        if other is not None:
            return TryOther(other)
    if remedy in (Remedy.WAIT, Remedy.PAIR) or (remedy is Remedy.FEW and refused < FEW_TRIES):
        wait = wait_seconds(remedy, refused) * random.uniform(1.0, 1.3)  # noqa: S311 - jitter
        asked = min(outcome.retry_after_seconds or 0.0, LONGEST_RETRY_AFTER_SECONDS)
        return Wait(max(wait, asked))
    await fail(connection, tenant, sending.message_id, problem)
    return Done()


async def fail(connection: Connection, tenant: int, message_id: int, problem: str) -> None:
    """End a message as failed, and tell people."""
    await stop_message(connection, tenant, message_id, "failed", problem)
    text = f"A message was not sent: {problem}."
    await raise_alert(connection, tenant, "send_failed", message_id, text)
