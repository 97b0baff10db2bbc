"""Oddities: parts of deliveries that nobody could take, kept for people."""

import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from state.database import Connection

MOST = 200
"""A broken delivery may have thousands of parts; so many are enough to see what is wrong."""
STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")

LISTED = (
    "SELECT o.oddity_id, o.created_at, s.name, d.app, o.delivery_id, o.place, o.reason"
    " FROM oddity o LEFT JOIN shop s ON s.tenant = o.tenant AND s.tenant > 0"
    " LEFT JOIN delivery d ON d.delivery_id = o.delivery_id"
)


class Odd(NamedTuple):
    """One such part."""

    place: str
    """Where in the delivery it was."""
    reason: str
    """Never what somebody wrote."""


class Oddity(NamedTuple):
    """One such part as it is kept; what it says is in the delivery."""

    oddity_id: int
    at: datetime
    shop: str | None
    """None: no shop is known for it."""
    app: str | None
    """The registration that it came to. None: the delivery is forgotten."""
    delivery_id: int
    place: str
    """Where in the delivery; empty: the whole of it."""
    reason: str


async def note_oddities(
    connection: Connection, tenant: int, delivery_id: int, odd: Sequence[Odd]
) -> None:
    """Keep them under a shop, or the installation. Safe to run twice."""
    await connection.execute(
        "WITH kept AS (INSERT INTO oddity (tenant, delivery_id, place, reason)"
        " SELECT $1, $2, u.place, u.reason FROM unnest($3::text[], $4::text[]) u (place, reason)"
        " ON CONFLICT (tenant, delivery_id, place) DO NOTHING RETURNING oddity_id)"
        " INSERT INTO change (tenant, topic, ids)"
        " SELECT $1, 'oddity', array_agg(oddity_id) FROM kept HAVING count(*) > 0",
        tenant,
        delivery_id,
        [one.place for one in odd[:MOST]],
        [one.reason for one in odd[:MOST]],
    )


async def oddities(
    connection: Connection, limit: int, *, before: int | None = None
) -> list[Oddity]:
    """Return the newest, of every shop and of none; before: only those older than that one.

    As the engine.
    """
    rows = await connection.fetch(
        f"{LISTED} WHERE $1::bigint IS NULL OR o.oddity_id < $1 ORDER BY o.oddity_id DESC LIMIT $2",
        before,
        limit,
    )
    return [Oddity(*row) for row in rows]


async def oddities_today(connection: Connection) -> int:
    """Return how many came in the last 24 hours. As the engine."""
    found: int = await connection.fetchval(
        "SELECT count(*) FROM oddity WHERE created_at > clock_timestamp() - interval '1 day'"
    )
    return found


async def oddity(connection: Connection, oddity_id: int) -> Oddity | None:
    """Return one; None: there is none, or it is older than 30 days. As the engine."""
    row = await connection.fetchrow(f"{LISTED} WHERE o.oddity_id = $1", oddity_id)
    return Oddity(*row) if row else None


async def raw_part(connection: Connection, found: Oddity) -> str | None:
    """Return the part as it was posted: it may hold what somebody wrote, and who.

    None: the delivery is forgotten, after 30 days. As the engine.
    """
    body = await connection.fetchval(
        "SELECT body FROM delivery WHERE delivery_id = $1", found.delivery_id
    )
    return None if body is None else part_at(body, found.place)


def part_at(body: bytes, place: str) -> str:
    """Return a part of a delivery as text; the whole of it where the place cannot be found.

    >>> part_at(b'{"entry": [{"changes": [7]}]}', "entry[0].changes[0]")
    '7'
    >>> part_at(b"no JSON", "")
    'no JSON'
    """
    text = body.decode("utf-8", "backslashreplace")
    try:
        part: Any = json.loads(text)
        for name, number in STEP.findall(place):
            part = part[name] if name else part[int(number)]
        return json.dumps(part, ensure_ascii=False, indent=2) if place else text
    except (ValueError, RecursionError, LookupError, TypeError):
        return text
