"""Shops: the tenants. Number 0 is the installation itself."""

from datetime import datetime
from typing import NamedTuple

from state.database import Connection, Database

INSTALLATION = 0


class Shop(NamedTuple):
    """A shop, by number and name."""

    tenant: int
    name: str


class ShopDetail(NamedTuple):
    """A shop with everything that was said of it."""

    tenant: int
    name: str
    title: str | None
    """As shoppers know it; None: its name."""
    language: str
    """es, pt or en."""
    currency: str
    zone: str
    hours: str | None
    """See `state/rules/hours.py`; None: always open."""
    created_at: datetime


DETAIL = "tenant, name, title, language, currency, zone, hours, created_at"


async def shop_details(database: Database) -> list[ShopDetail]:
    """Return every shop, by name."""
    async with database.engine() as connection:
        rows = await connection.fetch(
            f"SELECT {DETAIL} FROM shop WHERE tenant > 0 ORDER BY name"  # noqa: S608
        )
    return [ShopDetail(*row) for row in rows]


async def update_shop(
    connection: Connection,
    tenant: int,
    *,
    title: str | None = None,
    language: str | None = None,
    currency: str | None = None,
    zone: str | None = None,
    hours: str | None = None,
) -> ShopDetail:
    """Change what is given, leave the rest, and return the shop. Safe to run twice."""
    row = await connection.fetchrow(
        "UPDATE shop SET title = coalesce($2, title), language = coalesce($3, language),"  # noqa: S608
        " currency = coalesce($4, currency), zone = coalesce($5, zone),"
        f" hours = coalesce($6, hours) WHERE tenant = $1 RETURNING {DETAIL}",
        tenant,
        title,
        language,
        currency,
        zone,
        hours,
    )
    return ShopDetail(*row)


async def shop_named(database: Database, name: str) -> Shop | None:
    """Return the shop of that name; None: there is none."""
    async with database.engine() as connection:
        row = await connection.fetchrow("SELECT tenant, name FROM shop WHERE name = $1", name)
    return Shop(*row) if row else None


async def shop_numbered(database: Database, tenant: int) -> Shop | None:
    """Return the shop of that number; None: there is none."""
    async with database.engine() as connection:
        row = await connection.fetchrow("SELECT tenant, name FROM shop WHERE tenant = $1", tenant)
    return Shop(*row) if row else None


async def open_shop(database: Database, name: str) -> Shop:
    """Return the shop of that name, made if there was none. Safe to run twice."""
    async with database.engine() as connection, connection.transaction():
        return await found_shop(connection, name)


async def found_shop(connection: Connection, name: str) -> Shop:
    """Return the shop of that name, made if there was none. Safe to run twice.

    As the engine, or bound to the installation; in a transaction.
    """
    # One opener at a time: numbers have no gaps and a name gets one number.
    await connection.execute("SELECT pg_advisory_xact_lock(3, 0)")
    row = await connection.fetchrow("SELECT tenant, name FROM shop WHERE name = $1", name)
    if row is None:
        row = await connection.fetchrow(
            "INSERT INTO shop (tenant, name) SELECT max(tenant) + 1, $1 FROM shop"
            " RETURNING tenant, name",
            name,
        )
    return Shop(*row)
