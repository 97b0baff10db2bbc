"""Answer what a shopper wrote: one turn of the agent, one message.

Safe to run twice: the answer, the marks on what it answers and the record of the turn are one
transaction, under the cause `turn:<invocation>`; whoever runs again finds nothing left to answer.
Every model call is a step, so a repeated attempt pays for none of them again. The agent is silent
once a person holds the conversation: looked at before, after, and at the send.
"""

from functions.agents.choice import choose
from functions.agents.desk import Desk, set_desk, silence
from functions.agents.loop import Turned, turn
from functions.agents.model import ModelAway, ModelRefused
from functions.agents.wording import HANDING_OVER
from functions.message_send import MessageSend
from runtime import Context, Event, Merge, Retry, Snooze, function
from state.conversations import hand_to_person, take_floor
from state.errors import CredentialSealed
from state.ids import parse_id
from state.outbound import queue, raise_alert
from state.rules.limits import clamp_text
from state.turns import HANDED_OVER, REPLIED, SILENT, Turn, record_turn

ATTEMPTS = 3
SEALED_SECONDS = 30.0
"""A turn that needs a sealed key waits, and looks again after this."""


class AgentRun(Event):
    """Somebody waits for an answer."""

    conversation_id: int


@function(
    lane="conversation_id",
    burst=Merge(quiet_seconds=0, cap_seconds=20),
    timeout=300,
    retry=Retry(attempts=ATTEMPTS, steps_seconds=(1.0, 4.0)),
    service="agent",
)
async def agent_run(event: AgentRun, ctx: Context) -> str:
    """Answer everything in a conversation that has no answer; says how it ended."""
    if ctx.shop is None:
        return "a conversation belongs to a shop"
    async with ctx.reading() as connection:
        desk = await set_desk(connection, ctx.shop.tenant, event.conversation_id, ctx.now())
    if desk is None:
        return "nothing to answer"
    if reason := silence(desk.floor, ctx.settings):
        return await _stay_silent(ctx, desk, Turned(), reason)
    return await _end(ctx, desk, await _turned(ctx, desk))


async def _turned(ctx: Context, desk: Desk) -> Turned:
    """Run the loop; a model that gives no answer, in the end, means a person."""
    try:
        return await turn(ctx, desk, choose(ctx, desk))
    except ModelAway as trouble:
        if ctx.attempt < ATTEMPTS:
            raise
        return Turned(hand_over=str(trouble), trace=[{"kind": "trouble", "said": str(trouble)}])
    except CredentialSealed as trouble:
        await _tell(ctx, desk, trouble)
        raise Snooze(SEALED_SECONDS, "the model's key is sealed") from None
    except ModelRefused as trouble:
        await _tell(ctx, desk, trouble)
        return Turned(hand_over=str(trouble), trace=[{"kind": "trouble", "said": str(trouble)}])


async def _tell(ctx: Context, desk: Desk, trouble: Exception) -> None:
    """Tell people what the model needs."""
    async with ctx.recording() as connection:
        subject = desk.channel.channel_id
        await raise_alert(connection, desk.channel.tenant, "model", subject, str(trouble))


async def _end(ctx: Context, desk: Desk, turned: Turned) -> str:
    """Store the answer and what goes with it, unless a person has taken over meanwhile."""
    tenant, conversation_id = desk.channel.tenant, desk.conversation.conversation_id
    turn_id = parse_id(ctx.invocation)
    async with ctx.transaction() as transaction:
        connection = transaction.connection
        floor = await take_floor(connection, tenant, conversation_id)
        reason = silence(floor, ctx.settings)
        if reason is None:
            text = turned.text or HANDING_OVER[desk.agent.language]
            cause = "turn" if turned.hand_over is None else "handover"
            message_id = await queue(
                connection,
                tenant,
                conversation_id,
                author="agent",
                cause_key=f"{cause}:{turn_id}",
                body=clamp_text(text),
                turn=turn_id,
            )
            if message_id is not None:
                transaction.dispatch(
                    MessageSend(conversation_id=conversation_id, message_id=message_id)
                )
            answered = [one.message_id for one in desk.new]
            record = _record(ctx, desk, turned, turn_id)
            await record_turn(connection, tenant, record, answered=answered)
            if turned.hand_over is not None:
                await hand_to_person(connection, tenant, conversation_id, turned.hand_over)
            return REPLIED if turned.hand_over is None else HANDED_OVER
    return await _stay_silent(ctx, desk, turned, reason)


async def _stay_silent(ctx: Context, desk: Desk, turned: Turned, reason: str) -> str:
    """Say nothing, and say why. What was asked stays unanswered, for the person who has it."""
    async with ctx.transaction() as transaction:
        turned.hand_over = None
        record = _record(ctx, desk, turned, parse_id(ctx.invocation), silent=reason)
        await record_turn(transaction.connection, desk.channel.tenant, record)
    return SILENT


def _record(
    ctx: Context, desk: Desk, turned: Turned, turn_id: int, *, silent: str | None = None
) -> Turn:
    outcome = SILENT if silent else HANDED_OVER if turned.hand_over else REPLIED
    return Turn(
        turn_id,
        desk.conversation.conversation_id,
        desk.started_at,
        ctx.now(),
        outcome,
        silent or turned.hand_over,
        turned.model or None,
        turned.rounds,
        turned.input_tokens,
        turned.output_tokens,
        turned.trace,
    )
