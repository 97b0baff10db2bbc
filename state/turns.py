"""Turns: what the agent did when it had something to answer, and why."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from state.database import Connection

REPLIED, HANDED_OVER, SILENT, FAILED = "replied", "handed_over", "silent", "failed"


@dataclass(frozen=True)
class Turn:
    """One run of the agent that had something to answer."""

    turn_id: int
    """The invocation."""
    conversation_id: int
    started_at: datetime
    ended_at: datetime
    outcome: str
    """REPLIED, HANDED_OVER, SILENT or FAILED."""
    reason: str | None = None
    """In words."""
    model: str | None = None
    rounds: int = 0
    """Model calls."""
    input_tokens: int = 0
    output_tokens: int = 0
    trace: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    """What it did, in order: `{"kind": "recall" | "model" | "tool" | "check", …, "ms": 12}`."""


COLUMNS = (
    "turn_id, conversation_id, started_at, ended_at, outcome, reason, model, rounds, input_tokens,"
    " output_tokens, trace"
)
RECORD = f"""
WITH stored AS (
    INSERT INTO turn (tenant, {COLUMNS})
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::jsonb)
    ON CONFLICT (turn_id) DO NOTHING RETURNING turn_id
), answered AS (
    UPDATE message SET turn = $2
    WHERE tenant = $1 AND message_id = ANY ($13::bigint[]) AND direction = 'in' AND turn IS NULL
)
INSERT INTO change (tenant, topic, ids) SELECT $1, 'turn', ARRAY[turn_id] FROM stored
"""  # noqa: S608 - our own columns


async def record_turn(
    connection: Connection, tenant: int, turn: Turn, *, answered: Sequence[int] = ()
) -> None:
    """Store a turn, and which messages it answers. Safe to run twice: the first one stays."""
    await connection.execute(
        RECORD,
        tenant,
        turn.turn_id,
        turn.conversation_id,
        turn.started_at,
        turn.ended_at,
        turn.outcome,
        turn.reason,
        turn.model,
        turn.rounds,
        turn.input_tokens,
        turn.output_tokens,
        json.dumps(list(turn.trace)),
        list(answered),
    )


async def turns_of(connection: Connection, tenant: int, conversation_id: int) -> list[Turn]:
    """Return the turns of a conversation, oldest first."""
    rows = await connection.fetch(
        f"SELECT {COLUMNS} FROM turn WHERE tenant = $1 AND conversation_id = $2"  # noqa: S608
        " ORDER BY turn_id",
        tenant,
        conversation_id,
    )
    return [Turn(**{**dict(row), "trace": json.loads(row["trace"])}) for row in rows]
