"""How a shop's agent works; what a shop has not said is as here."""

from typing import NamedTuple

from state.database import Connection


class Agent(NamedTuple):
    """The agent of one shop."""

    shop: str
    """The shop, as shoppers know it."""
    language: str
    """es, pt or en."""
    currency: str
    zone: str
    name: str | None = None
    instructions: str | None = None
    """The shop's own words, added to ours."""
    model: str | None = None
    """None: OPENAI_MODEL."""
    rounds: int = 6
    """Model calls of one turn, at most."""
    seconds: int = 60
    tokens: int = 40_000
    """Of one turn, in and out."""
    tokens_per_day: int = 5_000_000
    tokens_today: int = 0
    """Spent since midnight in the shop's own time zone."""


AGENT = """
SELECT coalesce(s.title, s.name) AS shop, s.language, s.currency, s.zone, a.name, a.instructions,
       a.model, coalesce(a.rounds, 6) AS rounds, coalesce(a.seconds, 60) AS seconds,
       coalesce(a.tokens, 40000) AS tokens, coalesce(a.tokens_per_day, 5000000) AS tokens_per_day,
       coalesce((SELECT sum(t.input_tokens + t.output_tokens) FROM turn t
                 WHERE t.tenant = $1 AND t.started_at >=
                     date_trunc('day', clock_timestamp() AT TIME ZONE s.zone) AT TIME ZONE s.zone
                ), 0)::bigint AS tokens_today
FROM shop s LEFT JOIN agent a ON a.tenant = s.tenant WHERE s.tenant = $1
"""


async def agent_of(connection: Connection, tenant: int) -> Agent | None:
    """Return the agent of a shop; None: there is no such shop."""
    row = await connection.fetchrow(AGENT, tenant)
    return Agent(**dict(row)) if row else None
