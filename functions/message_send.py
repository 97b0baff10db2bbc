"""Send one outgoing message, in the order of its conversation.

Safe to run twice: before the first byte leaves, the attempt is written down; who finds an attempt
that nobody answered waits for its status, and sends again only on evidence that it did not arrive
(`state/rules/evidence.py`). A message that is accepted, failed or withheld is left alone.

The three moments: `_prepare` decides and writes the attempt, fenced, in one transaction. The POST
begins within the guard time of that, or not at all. What came of it is recorded without a fence,
even when the attempt is being cancelled: it has happened.
"""

import asyncio
from dataclasses import dataclass
from uuid import UUID, uuid4

from functions.channels.channel import Ambiguous, Channel, Outgoing, now_seconds
from functions.channels.cloud_api import CloudApi
from functions.channels.facts import Done, Next, Wait, fail, record
from functions.channels.permission import UNFINISHED, Later, Never, check_times, permission
from functions.channels.sandbox import Sandbox
from runtime import Cancel, Context, Event, Snooze, function
from runtime.errors import ConfigurationError
from runtime.logs import Log, where
from runtime.steps import patiently
from state.attempts import (
    OpenAttempt,
    Sending,
    begin_attempt,
    record_absent,
    sending,
    stop_message,
)
from state.database import Connection
from state.errors import CredentialSealed
from state.outbound import raise_alert
from state.rules.evidence import Proof, judge

log = Log("send")

LEAST_SNOOZE_SECONDS = 0.2
NO_TOKEN_SECONDS = 60.0
MAY_NOT_HAVE_ARRIVED = "it may not have arrived: WhatsApp neither answered nor told anything of it"

_under_way: set["asyncio.Task[Next]"] = set()
"""Sends whose attempt may be cancelled already; they end by themselves."""


class MessageSend(Event):
    """Send a message that is stored."""

    conversation_id: int | None
    """The lane. None: it waits outside of the lane until the shop opens."""
    message_id: int


@dataclass(frozen=True)
class Ready:
    """An attempt is written down: its POST follows."""

    channel: Channel
    outgoing: Outgoing


@function(lane="conversation_id", timeout=60, service="whatsapp")
async def message_send(event: MessageSend, ctx: Context) -> None:
    """Send a stored message, once."""
    check_times(ctx.settings)
    if ctx.shop is None:
        raise Cancel("a message belongs to a shop")
    if event.conversation_id is None:
        return await _back_in_line(event, ctx, ctx.shop.tenant)
    other: str | None = None
    while True:
        prepared = await _prepare(event, ctx, ctx.shop.tenant, other)
        step: Next | Later
        if isinstance(prepared, Ready):
            step = await _deliver(ctx, ctx.shop.tenant, prepared, first_form=other is None)
        else:
            step = prepared
        if isinstance(step, Done):
            return None
        if isinstance(step, Wait):
            raise Snooze(max(step.seconds, LEAST_SNOOZE_SECONDS))
        if isinstance(step, Later):
            # In the lane it would hold back every reply until the shop opens.
            outside = MessageSend(conversation_id=None, message_id=event.message_id)
            return await ctx.dispatch(outside, delay_seconds=step.seconds)
        other = step.to


async def _back_in_line(event: MessageSend, ctx: Context, tenant: int) -> None:
    """Go back to the lane after waiting outside of it."""
    async with ctx.reading() as connection:
        found = await sending(connection, tenant, event.message_id)
    if found is not None:
        await ctx.dispatch(
            MessageSend(conversation_id=found.conversation_id, message_id=found.message_id)
        )


async def _prepare(
    event: MessageSend, ctx: Context, tenant: int, other: str | None
) -> Ready | Done | Wait | Later:
    """Decide, and write down the attempt, in one transaction that only we can commit."""
    async with ctx.transaction() as transaction:
        connection: Connection = transaction.connection
        found = await sending(connection, tenant, event.message_id)
        if found is None:
            return Done()
        repeated: UUID | None = None
        if found.open is not None:
            if found.kind == "sandbox":
                repeated = found.open.attempt_id
            else:
                waiting = await _settle(connection, ctx, tenant, found, found.open)
                if waiting is not None:
                    return waiting
        if found.state not in UNFINISHED:
            return Done()
        if repeated is None:
            against = permission(found, agents_enabled=ctx.settings.agents_enabled)
            if against is not None:
                return await _stand_back(connection, tenant, found, against)
        channel = await _channel(connection, ctx, tenant, found)
        if channel is None:
            return Wait(NO_TOKEN_SECONDS)
        attempt = repeated or uuid4()
        begin_by = now_seconds() + ctx.settings.send_guard_seconds
        if repeated is None:
            await begin_attempt(connection, tenant, found.message_id, attempt, ctx.epoch)
        return Ready(channel, Outgoing(found, attempt, other or found.address, begin_by))


async def _settle(
    connection: Connection, ctx: Context, tenant: int, found: Sending, open_: OpenAttempt
) -> Done | Wait | None:
    """Ask what the silence of an earlier attempt means; None: it did not arrive, send again."""
    evidence = ctx.settings.send_evidence_seconds
    marketing = found.class_ == "marketing"  # is never sent again by a machine
    proof = judge(
        open_.silence,
        evidence_seconds=evidence,
        patience_seconds=evidence if marketing else ctx.settings.send_patience_seconds,
    )
    if proof is Proof.OPEN:
        return Wait(min(evidence / 10, open_.silence.age / 2))
    if not await record_absent(connection, tenant, open_.attempt_id):
        return Wait(LEAST_SNOOZE_SECONDS)  # a status decided it just now
    if found.state not in UNFINISHED:  # another attempt was told of
        return Done()
    if proof is Proof.ABSENT and not marketing:
        return None
    await stop_message(connection, tenant, found.message_id, "unknown", MAY_NOT_HAVE_ARRIVED)
    text = f"A message is in doubt: {MAY_NOT_HAVE_ARRIVED}. Look into the conversation."
    await raise_alert(connection, tenant, "send_unknown", found.message_id, text)
    return Done()


async def _stand_back(
    connection: Connection, tenant: int, found: Sending, against: Never | Later
) -> Done | Wait | Later:
    """Do what stands against sending."""
    if isinstance(against, Later):
        return Wait(against.seconds) if against.in_line else against
    if against.state == "failed":
        await fail(connection, tenant, found.message_id, against.problem)
    else:
        await stop_message(connection, tenant, found.message_id, against.state, against.problem)
    return Done()


async def _channel(
    connection: Connection, ctx: Context, tenant: int, found: Sending
) -> Channel | None:
    """Return the way out; None: its access token is missing, and people are told."""
    if found.kind == "sandbox":
        return Sandbox()
    try:
        if found.token is None:
            raise CredentialSealed("A number has no access token. Enter it: nexus channels add.")
        access_token = ctx.open(found.token)
    except (CredentialSealed, ConfigurationError) as error:
        await raise_alert(connection, tenant, "channel", found.channel_id, str(error))
        return None
    return CloudApi(ctx.settings, access_token)


async def _deliver(ctx: Context, tenant: int, ready: Ready, *, first_form: bool) -> Next:
    """Send, and record what came of it, to the end even when this attempt is cancelled."""
    task = asyncio.ensure_future(_send(ctx, tenant, ready, first_form))
    _under_way.add(task)
    task.add_done_callback(_ended)
    return await asyncio.shield(task)


async def _send(ctx: Context, tenant: int, ready: Ready, first_form: bool) -> Next:
    outgoing = ready.outgoing
    outcome = await ready.channel.send(outgoing)
    if isinstance(outcome, Ambiguous):  # the attempt stays open
        ctx.log.warning("a send was not answered", attempt=str(outgoing.attempt), why=outcome.why)
        return Wait(LEAST_SNOOZE_SECONDS)

    async def write() -> Next:
        async with ctx.recording() as connection:
            return await record(connection, tenant, outgoing, outcome, first_form=first_form)

    return await patiently(write)


def _ended(task: "asyncio.Task[Next]") -> None:
    _under_way.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        # The attempt stays open: a status or evidence decides it.
        log.warning("what became of a send could not be recorded", where=where(error))
