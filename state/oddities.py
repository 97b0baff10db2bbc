"""Oddities: parts of deliveries that nobody could take, kept for people."""

from collections.abc import Sequence
from typing import NamedTuple

from state.database import Connection

MOST = 200
"""A broken delivery may have thousands of parts; so many are enough to see what is wrong."""


class Odd(NamedTuple):
    """One such part."""

    place: str
    """Where in the delivery it was."""
    reason: str
    """Never what somebody wrote."""


async def note_oddities(
    connection: Connection, tenant: int, delivery_id: int, odd: Sequence[Odd]
) -> None:
    """Keep them under a shop, or the installation. Safe to run twice."""
    await connection.execute(
        "INSERT INTO oddity (tenant, delivery_id, place, reason)"
        " SELECT $1, $2, u.place, u.reason FROM unnest($3::text[], $4::text[]) u (place, reason)"
        " ON CONFLICT (tenant, delivery_id, place) DO NOTHING",
        tenant,
        delivery_id,
        [one.place for one in odd[:MOST]],
        [one.reason for one in odd[:MOST]],
    )
