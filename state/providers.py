"""What may be asked of providers (`state/routines/66_provider.sql`)."""

from typing import NamedTuple

from state.database import Connection, repeated


class Limits(NamedTuple):
    """What a provider lets in within a minute; None: any number."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


class Slot(NamedTuple):
    """The moment at which a call may be made."""

    wait_seconds: float
    """Until then; 0: now."""
    ours: bool
    """Whether it is kept for the call; False: it is further away than the caller would wait."""


async def take_slot(
    connection: Connection,
    provider: int,
    host: str,
    limits: Limits,
    *,
    invocation: int,
    call: str,
    requests: int,
    tokens: int,
    patience_seconds: float | None,
    near_seconds: float,
) -> Slot:
    """Take the earliest moment for a call. As the engine.

    Safe to run twice: what is remembered is found again; else the second moment is one too many,
    and a little of a minute's limit stays unused.

    Args:
        connection: as the engine.
        provider: hash of its address and key.
        host: its name, for people.
        limits: of it.
        invocation: whose call it is.
        call: its name within the invocation.
        requests: how many it makes.
        tokens: how many it takes, at most.
        patience_seconds: take no moment that is further away. None: take any.
        near_seconds: a moment that is further away is remembered for the next attempt.
    """
    row = await repeated(
        lambda: connection.fetchrow(
            "SELECT wait, ours FROM take_slot($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            provider,
            host,
            invocation,
            call,
            float(requests),
            float(tokens),
            limits.requests_per_minute,
            limits.tokens_per_minute,
            patience_seconds,
            near_seconds,
        )
    )
    assert row is not None  # noqa: S101 - the routine returns one row
    return Slot(row["wait"], row["ours"])


async def correct_tokens(connection: Connection, provider: int, limits: Limits, more: int) -> None:
    """Count so many tokens more than a call had reserved; below 0: fewer. As the engine."""
    await repeated(
        lambda: connection.execute(
            "UPDATE provider SET tokens_at = tokens_at + make_interval(secs => $2)"
            " WHERE provider = $1",
            provider,
            more * 60 / (0.95 * (limits.tokens_per_minute or 1)),
        )
    )


async def pause(connection: Connection, provider: int, host: str, seconds: float) -> None:
    """Ask nothing of a provider for a while; the longest pause counts. As the engine."""
    await repeated(
        lambda: connection.execute("SELECT pause_provider($1, $2, $3)", provider, host, seconds)
    )


async def paused_seconds(connection: Connection, provider: int) -> float:
    """Return for how long nothing may be asked of a provider; 0: it may. As the engine."""
    found: float | None = await connection.fetchval(
        "SELECT extract(epoch FROM paused_until - clock_timestamp())::float8 FROM provider"
        " WHERE provider = $1 AND paused_until > clock_timestamp()",
        provider,
    )
    return found or 0.0
