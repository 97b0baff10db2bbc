"""People see what work waits for."""

import asyncio

import pytest

from gateway.cli.main import main
from runtime.settings import Settings
from state.database import Database
from state.ids import parse_id
from tests.gateway.conftest import Client
from tests.gateway.people import sign_in
from tests.gateway.test_pages import store
from tests.runtime.harness import environment

PERMIT = "INSERT INTO permit (id, shop, fn, tenant, key) VALUES ($1, 0, 1, -1, 0)"
SLOT = "INSERT INTO rate_slot (id, fn, tenant, key, ticket) VALUES ($1, 1, 0, 0, 1)"


@pytest.mark.parametrize(
    ("waits", "says"),
    [(PERMIT, "waits for a permit"), (SLOT, "waits for its rate slot at")],
    ids=["permit", "slot"],
)
async def test_the_pages_and_the_terminal_say_what_one_waits_for(
    settings: Settings,
    outside: Client,
    database: Database,
    capsys: pytest.CaptureFixture[str],
    waits: str,
    says: str,
) -> None:
    await sign_in(outside)
    name = await store(outside)
    number = parse_id(name)
    assert number is not None
    async with database.engine() as connection:
        later = "UPDATE work SET run_at = run_at + interval '1 minute' WHERE id = $1"
        await connection.execute(later, number)
        await connection.execute(waits, number)
    listed = await outside.get("/invocations")
    alone = await outside.get(f"/invocations/{name}")
    assert says in listed.text
    assert "Next attempt" in alone.text
    for arguments in (["invocations"], ["invocation", name]):
        assert await asyncio.to_thread(main, arguments, environment(settings, "functions")) == 0
        assert says in capsys.readouterr().out
