"""Read what WhatsApp posted and store it where it belongs.

Safe to run twice: everything of a delivery is stored in one transaction, under ids that WhatsApp
made. Whatever was stored before, by an earlier attempt or an earlier delivery of the same message,
is recognised and starts nothing.
"""

import asyncio
from collections.abc import Iterator, Mapping

from functions.agent_run import AgentRun
from functions.channels.token import attempt_of
from functions.intake.parts import Echo, Inbound, Person, Split
from functions.intake.split import split
from runtime import Context, Delivery, Webhook, function
from runtime.context import Transaction
from runtime.settings import Settings
from state.channels import Channel, channels_at
from state.contacts import add_aliases, contact_of, set_opted_out
from state.database import Connection
from state.deliveries import delivery
from state.inbound import Taken, Written, change_message, take_echoes, take_messages
from state.oddities import Odd, note_oddities
from state.outbound import decide_by_status
from state.rules.consent import asks_to_stop
from state.shops import INSTALLATION

LARGE_BYTES = 200_000
"""From here on a body is read in a thread: it would hold up the others."""


class WebhookIntake(Delivery):
    """WhatsApp posted something."""


@function(trigger=Webhook("whatsapp", signature="meta"), lane="sender", timeout=60)
async def webhook_intake(event: WebhookIntake, ctx: Context) -> dict[str, int]:
    """Store messages, statuses and echoes of one delivery, and start the agent."""
    async with ctx.transaction() as transaction:
        stored = await delivery(transaction.connection, event.delivery_id)
        if stored is None:
            return {}
        large = len(stored.body) > LARGE_BYTES
        found = await asyncio.to_thread(split, stored.body) if large else split(stored.body)
        channels = await channels_at(transaction.connection, stored.app, found.addresses())
        await _note_unbound(transaction.connection, event.delivery_id, found, channels)
        for tenant in sorted({channel.tenant for channel in channels.values()}):
            ours = {
                address: channel
                for address, channel in channels.items()
                if channel.tenant == tenant
            }
            async with transaction.shop(tenant) as shop:
                await _take(shop, tenant, event.delivery_id, found, ours, ctx.settings)
    return {
        "messages": len(found.inbound),
        "statuses": len(found.statuses),
        "echoes": len(found.echoes),
        "oddities": len(found.oddities),
    }


async def _take(
    transaction: Transaction,
    tenant: int,
    delivery_id: int,
    found: Split,
    channels: Mapping[str, Channel],
    settings: Settings,
) -> None:
    """Store what is one shop's."""
    connection = transaction.connection
    odd = [Odd(one.place, one.reason) for one in found.oddities if one.address in channels]
    if odd:
        await note_oddities(connection, tenant, delivery_id, odd)
    inbound = [one for one in found.inbound if one.address in channels]
    if inbound:
        written = [_written(one, channels[one.address], one.asks) for one in inbound]
        taken = await take_messages(connection, tenant, written)
        for one in taken:
            await _follow(connection, tenant, inbound[one.place], one)
        _start_agent(transaction, inbound, taken, channels, settings)
    echoes = [one for one in found.echoes if one.address in channels]
    if echoes:
        await take_echoes(
            connection, tenant, [_written(one, channels[one.address], False) for one in echoes]
        )
    for status in found.statuses:
        if status.address in channels:
            await decide_by_status(
                connection,
                tenant,
                wamid=status.wamid,
                attempt=attempt_of(settings.encryption_key, status.token),
                status=status.status,
                code=status.code,
                problem=status.problem,
            )
    for preference in found.preferences:
        if preference.address in channels:
            contact = await _contact(connection, tenant, preference.person)
            await set_opted_out(connection, tenant, contact, preference.stop)


async def _follow(connection: Connection, tenant: int, message: Inbound, taken: Taken) -> None:
    """Do what a new message asks for besides an answer."""
    if message.kind == "text" and message.body and asks_to_stop(message.body):
        await set_opted_out(connection, tenant, taken.contact_id, True)
    if message.moved_to is not None:
        moved = message.moved_to
        await add_aliases(
            connection, tenant, taken.contact_id, phone=moved.phone, bsuid=moved.bsuid
        )
    if message.about is not None and message.kind in ("edit", "revoke"):
        said = (message.body or "") if message.kind == "edit" else None
        await change_message(connection, tenant, taken.conversation_id, message.about, said)


def _start_agent(
    transaction: Transaction,
    inbound: list[Inbound],
    taken: list[Taken],
    channels: Mapping[str, Channel],
    settings: Settings,
) -> None:
    quiet: dict[int, float] = {}
    for one in taken:
        if one.asks:
            channel = channels[inbound[one.place].address]
            given = settings.quiet_seconds
            quiet[one.conversation_id] = channel.quiet_seconds if given is None else given
    for conversation_id, seconds in sorted(quiet.items()):
        transaction.dispatch(AgentRun(conversation_id=conversation_id), delay_seconds=seconds)


async def _note_unbound(
    connection: Connection, delivery_id: int, found: Split, channels: Mapping[str, Channel]
) -> None:
    odd = [Odd(one.place, one.reason) for one in found.oddities if one.address not in channels]
    odd += [Odd(place, "no shop has this number") for place in _unbound(found, channels)]
    if odd:
        await note_oddities(connection, INSTALLATION, delivery_id, odd)


def _unbound(found: Split, channels: Mapping[str, Channel]) -> Iterator[str]:
    for part in (*found.inbound, *found.echoes, *found.statuses, *found.preferences):
        if part.address not in channels:
            yield part.place


async def _contact(connection: Connection, tenant: int, person: Person) -> int:
    return await contact_of(connection, tenant, phone=person.phone, bsuid=person.bsuid)


def _written(message: Inbound | Echo, channel: Channel, asks: bool) -> Written:
    person = message.person
    return Written(
        channel.channel_id,
        person.phone,
        person.bsuid,
        person.name,
        message.wamid,
        message.kind,
        message.body,
        message.content,
        message.at,
        asks,
    )
