"""Channels: the WhatsApp numbers of shops, and their simulated phones."""

from typing import NamedTuple

from state.database import Connection
from state.queries import load
from state.shops import Shop

SQL = load("channels")


SANDBOX = "sandbox"
"""Kind of simulated phones, and the registration that stands for all of them."""
PHONE_QUIET_SECONDS = 1.0
"""Who tries something out does not want to wait long."""


class Channel(NamedTuple):
    """One channel of one shop."""

    channel_id: int
    tenant: int
    kind: str
    """`cloud_api` or `sandbox`."""
    app: str
    """The registration its webhooks come from."""
    address: str
    """cloud_api: the phone_number_id; sandbox: the shop's name."""
    display: str
    """The number as people write it."""
    agent: bool
    """Whether the agent answers here."""
    quiet_seconds: float
    """How long the agent waits for a next message before it begins."""
    stopped: str | None
    """Why nothing is sent, in words; None: it sends."""


async def channels_at(connection: Connection, app: str, addresses: list[str]) -> dict[str, Channel]:
    """Return channels by address, whichever shop they belong to.

    Args:
        connection: bound to the installation, which receives for all.
        app: only channels bound to this registration.
        addresses: what webhooks name as `phone_number_id`.
    """
    rows = await connection.fetch(SQL["at"], app, addresses)
    return {row["address"]: Channel(*row) for row in rows}


async def channel(connection: Connection, tenant: int, channel_id: int) -> Channel | None:
    """Return one channel of a shop; None: it has no such."""
    row = await connection.fetchrow(SQL["one"], tenant, channel_id)
    return Channel(*row) if row else None


async def channels(connection: Connection, tenant: int) -> list[Channel]:
    """Return a shop's channels, oldest first."""
    return [Channel(*row) for row in await connection.fetch(SQL["all"], tenant)]


async def add_channel(
    connection: Connection,
    tenant: int,
    *,
    kind: str,
    app: str,
    address: str,
    display: str,
) -> Channel:
    """Return the channel at that address, made if there was none. Safe to run twice.

    Raises:
        LookupError: the address belongs to another shop.
    """
    row = await connection.fetchrow(SQL["add"], tenant, kind, app, address, display)
    if row is None:
        raise LookupError(f"{address!r} of {app!r} belongs to another shop")
    return Channel(*row)


async def open_phone(connection: Connection, shop: Shop) -> Channel:
    """Return a shop's simulated phone, made if there was none. Safe to run twice."""
    phone = await add_channel(
        connection,
        shop.tenant,
        kind=SANDBOX,
        app=SANDBOX,
        address=shop.name,
        display="simulated phone",
    )
    await connection.execute(SQL["quiet"], shop.tenant, phone.channel_id, PHONE_QUIET_SECONDS)
    return phone


async def stop_channel(connection: Connection, tenant: int, channel_id: int, reason: str) -> None:
    """Send nothing more here, until a person has dealt with the reason. Safe to run twice."""
    await connection.execute(SQL["stop"], tenant, channel_id, reason)


async def resume_channel(connection: Connection, tenant: int, channel_id: int) -> None:
    """Send again. Safe to run twice."""
    await connection.execute(SQL["stop"], tenant, channel_id, None)


async def set_channel_quiet(
    connection: Connection, tenant: int, channel_id: int, seconds: float
) -> None:
    """Say how long the agent waits for a next message. Safe to run twice."""
    await connection.execute(SQL["quiet"], tenant, channel_id, seconds)


async def set_channel_agent(
    connection: Connection, tenant: int, channel_id: int, enabled: bool
) -> None:
    """Let the agent answer here, or not. Safe to run twice."""
    await connection.execute(SQL["agent"], tenant, channel_id, enabled)
