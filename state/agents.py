"""How a shop's agent works, and everything a turn of it begins with, in one round trip."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from state.audit import record
from state.channels import Channel
from state.conversations import Conversation
from state.credentials import put_credential
from state.database import Connection
from state.keyring import KeyRing, Sealed, SealedSecret
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
    base_url: str | None
    """The shop's own model server; None: OPENAI_BASE_URL. It never gets our key."""
    rounds: int
    """Model calls of one turn, at most."""
    seconds: int
    tokens: int
    """Of one turn, in and out."""
    tokens_per_day: int
    tokens_per_conversation: int | None
    """Of one conversation in a day; None: no limit."""
    knows: bool
    """Whether there is anything to recall: products or documents."""


class Profile(NamedTuple):
    """What a shop has said of its agent, or the defaults."""

    shop: str
    name: str | None
    instructions: str | None
    model: str | None
    """None: OPENAI_MODEL."""
    base_url: str | None
    """None: OPENAI_BASE_URL."""
    rounds: int
    seconds: int
    tokens: int
    tokens_per_day: int
    tokens_per_conversation: int | None
    """Of one conversation in a day; None: no limit."""
    key_since: datetime | None
    """When the shop's own key was entered; None: it has none."""


SETTABLE = frozenset(
    {
        *("name", "instructions", "model", "base_url", "rounds", "seconds"),
        *("tokens", "tokens_per_day", "tokens_per_conversation"),
    }
)


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


async def profiles(connection: Connection, tenant: int | None = None) -> list[Profile]:
    """Return how the agents of all shops work, or of one. As the engine."""
    rows = await connection.fetch(SQL["profile"], tenant, *MODEL_KEY)
    return [Profile(*row) for row in rows]


async def set_agent(
    connection: Connection, tenant: int, values: Mapping[str, str | int | None], *, actor: str
) -> None:
    """Change what is given of a shop's agent, leave the rest. Safe to run twice.

    Args:
        connection: as the engine, in a transaction.
        tenant: the shop.
        values: by names of SETTABLE; None: as the installation or the table says.
        actor: who, for the audit log, which holds names of what changed and never values.
    """
    if unknown := set(values) - SETTABLE:
        raise ValueError(f"an agent has no {sorted(unknown)}")
    await connection.execute(SQL["begin"], tenant)
    for name, value in values.items():
        given = "DEFAULT" if value is None else "$2"
        arguments = () if value is None else (value,)
        await connection.execute(
            f"UPDATE agent SET {name} = {given} WHERE tenant = $1",  # noqa: S608 - of SETTABLE
            tenant,
            *arguments,
        )
    await record(
        connection,
        actor=actor,
        action="agent.set",
        subject=str(tenant),
        tenant=tenant,
        detail={"changed": sorted(values)},
    )


async def put_model_key(
    connection: Connection, ring: KeyRing, tenant: int, secret: str, *, actor: str
) -> None:
    """Seal a shop's own key of the model, in place of an earlier one.

    As the engine, in a transaction.
    """
    purpose, name = MODEL_KEY
    await put_credential(connection, ring, tenant=tenant, purpose=purpose, name=name, secret=secret)
    await record(
        connection, actor=actor, action="agent.key.set", subject=str(tenant), tenant=tenant
    )


async def forget_model_key(connection: Connection, tenant: int, *, actor: str) -> bool:
    """Forget a shop's own key. False: it had none; safe to run twice.

    As the engine, in a transaction.
    """
    gone = await connection.fetchval(
        "DELETE FROM credential WHERE tenant = $1 AND purpose = $2 AND name = $3 RETURNING true",
        tenant,
        *MODEL_KEY,
    )
    if gone:
        await record(
            connection, actor=actor, action="agent.key.remove", subject=str(tenant), tenant=tenant
        )
    return bool(gone)
