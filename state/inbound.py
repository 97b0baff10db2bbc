"""Store what came in for a shop (`state/routines/80_inbound.sql`). All safe to run twice."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from state.database import Connection

PHONE_REASON = "answered from the phone"


@dataclass(frozen=True, slots=True)
class Written:
    """A message to be stored: of a shopper, or typed by the merchant in WhatsApp itself."""

    channel_id: int
    phone: str | None
    bsuid: str | None
    name: str | None
    wamid: str
    kind: str
    body: str | None
    content: Mapping[str, Any] = field(repr=False)
    at: datetime | None
    """None: the provider gave no sensible time; it is now."""
    asks: bool = True


class Taken(NamedTuple):
    """A message that was new."""

    place: int
    """Its index in what was given."""
    conversation_id: int
    contact_id: int
    asks: bool


async def take_messages(
    connection: Connection, tenant: int, written: Sequence[Written]
) -> list[Taken]:
    """Store messages of shoppers, each once for ever; returns those that were new."""
    rows = await connection.fetch(
        "SELECT place, conversation, contact, asked"
        " FROM take_messages($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        tenant,
        *_columns(written),
        [one.asks for one in written],
    )
    return [Taken(row[0] - 1, row[1], row[2], row[3]) for row in rows]


async def take_echoes(connection: Connection, tenant: int, written: Sequence[Written]) -> int:
    """Store what the merchant typed in WhatsApp itself; returns how many were new.

    A person has those conversations now.
    """
    return int(
        await connection.fetchval(
            "SELECT take_echoes($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            tenant,
            *_columns(written),
            PHONE_REASON,
        )
    )


async def change_message(
    connection: Connection, tenant: int, conversation_id: int, wamid: str, body: str | None
) -> None:
    """A shopper edited a message (`body` is its new text), or took it back (None)."""
    await connection.execute(
        "SELECT change_message($1, $2, $3, $4, $5)",
        tenant,
        conversation_id,
        wamid,
        body is not None,
        body,
    )


def _columns(written: Sequence[Written]) -> tuple[list[Any], ...]:
    return (
        [one.channel_id for one in written],
        [one.phone for one in written],
        [one.bsuid for one in written],
        [one.name for one in written],
        [one.wamid for one in written],
        [one.kind for one in written],
        [one.body for one in written],
        [json.dumps(one.content) for one in written],
        [one.at for one in written],
    )
