"""Shops: the tenants. Number 0 is the installation itself."""

from typing import NamedTuple

from state.database import Database

INSTALLATION = 0


class Shop(NamedTuple):
    """A shop, by number and name."""

    tenant: int
    name: str


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
        # One opener at a time: numbers have no gaps and a name gets one number.
        await connection.execute("SELECT pg_advisory_xact_lock(3, 0)")
        row = await connection.fetchrow("SELECT tenant, name FROM shop WHERE name = $1", name)
        if row is None:
            row = await connection.fetchrow(
                "INSERT INTO shop (tenant, name) SELECT max(tenant) + 1, $1 FROM shop"
                " RETURNING tenant, name",
                name,
            )
        assert row is not None  # noqa: S101 - inserted above
    return Shop(*row)
