"""A managed Postgres that forbids roles: everything works, and it is said what is missing."""

import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from runtime import Context, Event, function
from runtime.host.postgres import Postgres
from runtime.settings import Settings
from state.backup.target import found_in
from state.database import Database
from state.migrate import migrate, pending
from state.shops import open_shop, shop_details
from state.surgeon import examine, operate, past_reports
from tests.backups import back_up, bring_back
from tests.conftest import statement
from tests.runtime.harness import working
from tests.state.operating import break_it


@pytest.fixture
async def plain_dsn(postgres_server: Postgres) -> AsyncIterator[str]:
    """A database of a user who may not create or take on roles."""
    name = f"plain_{os.getpid()}"
    await statement(postgres_server, f"CREATE ROLE {name} LOGIN PASSWORD 'plain'")
    await statement(postgres_server, f"CREATE DATABASE {name} OWNER {name} TEMPLATE template0")
    host = postgres_server.dsn.rpartition("@")[2].partition("/")[0]
    yield f"postgresql://{name}:plain@{host}/{name}?sslmode=disable"
    await statement(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")
    await statement(postgres_server, f"DROP ROLE {name}")


class Ask(Event):
    what: str = ""


@function()
async def answer(event: Ask, ctx: Context) -> str:
    """Answer inside a transaction."""
    async with ctx.transaction() as transaction:
        return str(await transaction.connection.fetchval("SELECT current_user"))


async def test_without_roles_functions_run_and_the_worker_says_so(
    settings: Settings, plain_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    await migrate(plain_dsn)
    database = await Database.open(plain_dsn, application="test")
    assert not database.roles
    await database.aclose()
    plain = settings.model_copy(update={"postgres_dsn": SecretStr(plain_dsn)})
    with caplog.at_level(logging.WARNING, "nexus.worker"):
        async with working(plain, [answer]) as found:
            outcome = await found.run(Ask())
    assert str(outcome.result).startswith('"plain_')
    assert "this server forbids roles" in caplog.text


async def test_without_roles_nothing_stays_pending(plain_dsn: str) -> None:
    await migrate(plain_dsn)
    assert await pending(plain_dsn) == []
    assert await migrate(plain_dsn) == []


@pytest.mark.parametrize("roles", [False, True], ids=["without roles", "with roles"])
async def test_an_ordinary_user_backs_up_and_restores(
    postgres_server: Postgres, plain_dsn: str, tmp_path: Path, roles: bool
) -> None:
    if roles:  # row level security binds the owner of the tables, too
        user = plain_dsn.rpartition("@")[0].rpartition("/")[2].partition(":")[0]
        await statement(postgres_server, f"GRANT nexus_engine, nexus_app TO {user}")
    await migrate(plain_dsn)
    database = await Database.open(plain_dsn, application="test")
    assert database.roles == roles
    await open_shop(database, "uno")
    await back_up(plain_dsn, tmp_path / "a.backup")
    await open_shop(database, "dos")
    await bring_back(tmp_path / "a.backup", plain_dsn)
    assert [one.name for one in await shop_details(database)] == ["uno"]
    assert (await found_in(plain_dsn)).shops == ["uno"]
    await database.aclose()


async def test_without_roles_the_schema_is_whole_and_is_repaired_all_the_same(
    plain_dsn: str,
) -> None:
    await migrate(plain_dsn)
    assert (await operate(plain_dsn)).findings == ()
    await break_it(plain_dsn, "DROP INDEX work_ready; DROP SEQUENCE invocation_id")
    report = await operate(plain_dsn)
    assert len(report.of("repaired")) == 2
    assert [each.repaired for each in await past_reports(plain_dsn)] == [2]
    assert (await examine(plain_dsn)).findings == ()
