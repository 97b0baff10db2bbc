"""What lies on the agent's desk when a turn begins."""

from dataclasses import dataclass
from datetime import datetime

from runtime.settings import Settings
from state.agents import Agent, situation
from state.channels import Channel
from state.conversations import PERSON, Conversation, Floor
from state.database import Connection
from state.keyring import SealedSecret
from state.messages import Message, history, unanswered

HISTORY = 30


@dataclass(frozen=True)
class Desk:
    """Everything a turn begins with."""

    started_at: datetime
    agent: Agent
    conversation: Conversation
    channel: Channel
    key: SealedSecret | None
    """The shop's own key of the model; None: it has none."""
    earlier: list[Message]
    """What was said before, oldest first; the newest of it."""
    new: list[Message]
    """What asks for an answer, oldest first."""

    @property
    def floor(self) -> Floor:
        """Who might speak when the turn began."""
        held = self.conversation
        return Floor(held.holder, held.held_reason, self.channel.agent)


async def set_desk(
    connection: Connection, tenant: int, conversation_id: int, now: datetime
) -> Desk | None:
    """Return what a turn needs; None: there is nothing to answer."""
    found = await situation(connection, tenant, conversation_id)
    if found is None:
        return None
    said = await history(connection, tenant, conversation_id, HISTORY)
    new = [one for one in said if one.direction == "in" and one.turn is None]
    if len(new) == HISTORY:
        new = await unanswered(connection, tenant, conversation_id)
    if not new:
        return None
    ids = {one.message_id for one in new}
    earlier = [one for one in said if one.message_id not in ids]
    return Desk(now, found.agent, found.conversation, found.channel, found.key, earlier, new)


def silence(floor: Floor | None, settings: Settings) -> str | None:
    """Return why the agent says nothing, in words; None: it may speak."""
    if not settings.agents_enabled:
        return "agents are switched off (NEXUS_V3_ENABLED)"
    if floor is None:
        return "the conversation is gone"
    if floor.holder == PERSON:
        return f"a person has the conversation: {floor.held_reason or 'taken over'}"
    if not floor.agent:
        return "the agent is switched off for this number"
    return None
