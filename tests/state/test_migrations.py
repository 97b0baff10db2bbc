"""What migrations make of rows that were there before them."""

from state import migrate
from state.database import Connection, connect


async def before(dsn: str, name: str) -> Connection:
    """A database as it was before a migration; the connection is the login user's."""
    connection = await connect(dsn, application="test", role=None)
    roles = await migrate.make_roles(connection)
    earlier = [path.name for path in migrate.files()[0] if path.name < name]
    assert await migrate.apply(connection, roles=roles, only=earlier) == earlier
    return connection


async def test_agents_with_the_former_time_limit_get_the_longer_one(empty_dsn: str) -> None:
    connection = await before(empty_dsn, "0012_agents.sql")
    try:
        await connection.execute(
            "INSERT INTO shop (tenant, name) VALUES (1, 'never-chose'), (2, 'chose'), (3, 'new')"
        )
        await connection.execute("INSERT INTO agent (tenant) VALUES (1)")
        await connection.execute("INSERT INTO agent (tenant, seconds) VALUES (2, 30)")
        assert await connection.fetchval("SELECT seconds FROM agent WHERE tenant = 1") == 60

        assert "0012_agents.sql" in await migrate.migrate(empty_dsn)
        await connection.execute("INSERT INTO agent (tenant) VALUES (3)")
        rows = await connection.fetch("SELECT tenant, seconds FROM agent ORDER BY tenant")
        assert [tuple(row) for row in rows] == [(1, 240), (2, 30), (3, 240)]
    finally:
        await connection.close()


async def test_what_was_read_before_is_found_in_all_its_forms_after(empty_dsn: str) -> None:
    connection = await before(empty_dsn, "0017_recall.sql")
    try:
        await connection.execute("INSERT INTO shop (tenant, name) VALUES (1, 'uno')")
        await connection.execute(
            "INSERT INTO product (tenant, handle, name) VALUES (1, 'a', 'Promoções de botas')"
        )
        await migrate.migrate(empty_dsn)
        find = "SELECT count(*) FROM product WHERE words @@ any_words($1)"
        for asked in ("promoção", "promocao", "promoções", "bota"):
            assert await connection.fetchval(find, asked) == 1, asked
    finally:
        await connection.close()
