"""A database to break."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import pytest

from runtime.host.postgres import Postgres
from state.surgeon import examine
from state.surgeon.sources import first_rows
from tests.conftest import database_copy
from tests.state.injuries import ROWS
from tests.state.operating import rows_of, talking

copies: list[tuple[str, AbstractAsyncContextManager[str], dict[str, str]]] = []


@pytest.fixture
async def patient(postgres_server: Postgres, put_away: None) -> str:
    """Give a database with rows in it: the one of the test before, if that left it as it was."""
    if not copies or (await examine(copies[-1][0])).findings:
        fresh = database_copy(postgres_server)
        copies.append((await fresh.__aenter__(), fresh, {}))
    dsn, copy, rows = copies.pop()
    async with talking(dsn) as connection:
        if not rows or await rows_of(connection) != rows:
            tables = await connection.fetchval(
                "SELECT string_agg(quote_ident(relname), ', ') FROM pg_class WHERE relkind = 'r'"
                " AND relnamespace = 'public'::regnamespace AND relname <> 'migration'"
            )
            await connection.execute(f"TRUNCATE {tables} RESTART IDENTITY")
            await connection.execute("; ".join([*first_rows().values(), ROWS]))
        await connection.execute("DELETE FROM surgery; DELETE FROM alert WHERE kind = 'schema'")
        copies.append((dsn, copy, await rows_of(connection)))
    return dsn


@pytest.fixture(scope="session")
async def put_away(postgres_server: Postgres) -> AsyncIterator[None]:
    """Drop the databases at the end."""
    yield
    while copies:
        await copies.pop()[1].__aexit__(None, None, None)
