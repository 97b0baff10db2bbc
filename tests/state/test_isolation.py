"""Nobody sees another shop's rows, whatever the query forgets."""

from collections.abc import AsyncIterator

import pytest

from state.database import Database
from state.domains import add_domain
from state.errors import StatementFailed

TENANTS = 1, 2


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    database = await Database.open(database_dsn, application="test")
    async with database.engine() as connection:
        for tenant in TENANTS:
            await connection.execute(
                "INSERT INTO shop (tenant, name) VALUES ($1, $2)", tenant, f"shop-{tenant}"
            )
            await connection.execute(
                "INSERT INTO alert (tenant, kind, subject, message) VALUES ($1, $2, 1, 'm')",
                tenant,
                f"test-{tenant}",
            )
    yield database
    await database.aclose()


async def test_a_shop_sees_its_own_rows_alone(database: Database) -> None:
    async with database.tenant(1) as connection:
        assert [r["tenant"] for r in await connection.fetch("SELECT tenant FROM shop")] == [1]
        assert [r["tenant"] for r in await connection.fetch("SELECT tenant FROM alert")] == [1]


async def test_the_binding_ends_with_the_transaction(database: Database) -> None:
    async with database.tenant(1) as connection:
        await connection.fetch("SELECT 1")
    async with database.engine() as connection:
        await connection.execute("SET ROLE nexus_app")
        assert await connection.fetch("SELECT tenant FROM shop") == []
        await connection.execute("RESET ROLE")


async def test_nothing_is_written_for_another_shop(database: Database) -> None:
    with pytest.raises(StatementFailed, match="row-level security"):
        async with database.tenant(1) as connection:
            await connection.execute(
                "INSERT INTO change (tenant, topic, ids) VALUES (2, 'x', '{1}')"
            )


async def test_a_shop_sees_its_own_domains_alone(database: Database) -> None:
    async with database.engine() as connection, connection.transaction():
        for tenant in TENANTS:
            await add_domain(connection, tenant, f"www.shop-{tenant}.example", actor="test")
    async with database.tenant(1) as connection:
        seen = await connection.fetch("SELECT name FROM domain")
    assert [row["name"] for row in seen] == ["www.shop-1.example"]


@pytest.mark.parametrize(
    "table",
    [
        "edge",
        "invocation",
        "work",
        "lane",
        "outcome",
        "failure",
        "step",
        "once",
        "worker",
        "session",
        "audit_log",
        "schedule",
        "cancellation",
        "function",
        "rate",
        "rate_slot",
        "gate",
        "permit",
        "budget",
        "reservation",
        "provider",
        "slot",
    ],
)
async def test_handlers_cannot_read_the_engines_tables(database: Database, table: str) -> None:
    with pytest.raises(StatementFailed, match="permission denied"):
        async with database.tenant(1) as connection:
            await connection.fetch(f"SELECT * FROM {table}")


async def test_handlers_cannot_use_the_engines_routines(database: Database) -> None:
    with pytest.raises(StatementFailed, match="permission denied"):
        async with database.tenant(1) as connection:
            await connection.fetch("SELECT reap(1, true)")


async def test_every_table_is_under_row_level_security(database: Database) -> None:
    async with database.engine() as connection:
        bare = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relname <> 'migration'"
            " AND relnamespace = 'public'::regnamespace"
            " AND NOT (relrowsecurity AND relforcerowsecurity)"
        )
    assert [row["relname"] for row in bare] == []


async def test_the_audit_log_cannot_be_changed_or_cleared(database: Database) -> None:
    for statement in ("UPDATE audit_log SET actor = 'x'", "DELETE FROM audit_log"):
        with pytest.raises(StatementFailed, match="permission denied"):
            async with database.engine() as connection:
                await connection.execute(statement)
