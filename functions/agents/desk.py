"""What lies on the agent's desk when a turn begins."""

from dataclasses import dataclass
from datetime import datetime

from runtime.settings import Settings
from state.agents import Agent, agent_of
from state.channels import Channel, channel
from state.conversations import PERSON, Conversation, conversation
from state.database import Connection
from state.messages import Message, history, unanswered

HISTORY = 30


@dataclass(frozen=True)
class Desk:
    """Everything a turn begins with."""

    started_at: datetime
    agent: Agent
    conversation: Conversation
    channel: Channel
    earlier: list[Message]
    """What was said before, oldest first; the newest of it."""
    new: list[Message]
    """What asks for an answer, oldest first."""


async def set_desk(
    connection: Connection, tenant: int, conversation_id: int, now: datetime
) -> Desk | None:
    """Return what a turn needs; None: there is nothing to answer."""
    found = await conversation(connection, tenant, conversation_id)
    if found is None:
        return None
    said = await history(connection, tenant, conversation_id, HISTORY)
    new = [one for one in said if one.direction == "in" and one.turn is None]
    if len(new) == HISTORY:
        new = await unanswered(connection, tenant, conversation_id)
    if not new:
        return None
    agent = await agent_of(connection, tenant)
    line = await channel(connection, tenant, found.channel_id)
    if agent is None or line is None:
        return None
    ids = {one.message_id for one in new}
    earlier = [one for one in said if one.message_id not in ids]
    return Desk(now, agent, found, line, earlier, new)


def silence(holder: Conversation | None, line: Channel | None, settings: Settings) -> str | None:
    """Return why the agent says nothing, in words; None: it may speak."""
    if not settings.agents_enabled:
        return "agents are switched off (NEXUS_V3_ENABLED)"
    if holder is None or line is None:
        return "the conversation is gone"
    if holder.holder == PERSON:
        return f"a person has the conversation: {holder.held_reason or 'taken over'}"
    if not line.agent:
        return "the agent is switched off for this number"
    return None
