"""How a shop's agent works, and everything a turn of it begins with, in one round trip."""

from typing import NamedTuple

from state.channels import Channel
from state.conversations import Conversation
from state.database import Connection
from state.keyring import Sealed, SealedSecret
from state.queries import load

SQL = load("agents")

MODEL_KEY = ("openai", "key")
"""Purpose and name of the credential that a shop's own model is asked with."""


class Agent(NamedTuple):
    """The agent of one shop; what the shop has not said is as the table's defaults."""

    shop: str
    """The shop, as shoppers know it."""
    language: str
    """es, pt or en."""
    currency: str
    zone: str
    name: str | None
    instructions: str | None
    """The shop's own words, added to ours."""
    model: str | None
    """None: OPENAI_MODEL."""
    rounds: int
    """Model calls of one turn, at most."""
    seconds: int
    tokens: int
    """Of one turn, in and out."""
    tokens_per_day: int
    tokens_today: int
    """Spent since midnight in the shop's own time zone."""
    knows: bool
    """Whether there is anything to recall: products or documents."""


class Situation(NamedTuple):
    """What a turn begins with."""

    conversation: Conversation
    channel: Channel
    agent: Agent
    key: SealedSecret | None
    """The shop's own key of the model; None: it has none."""


async def situation(connection: Connection, tenant: int, conversation_id: int) -> Situation | None:
    """Return what a turn in this conversation begins with; None: the shop has no such."""
    row = await connection.fetchrow(SQL["situation"], tenant, conversation_id, *MODEL_KEY)
    if row is None:
        return None
    values = list(row.values())
    first, second = len(Conversation._fields), len(Channel._fields)
    third = first + second + len(Agent._fields)
    identity, version, key_id, ciphertext = values[third:]
    key = None
    if identity is not None:
        whose = Sealed(tenant, MODEL_KEY[0], identity, version)
        key = SealedSecret(whose, key_id, ciphertext)
    return Situation(
        Conversation(*values[:first]),
        Channel(*values[first : first + second]),
        Agent(*values[first + second : third]),
        key,
    )
