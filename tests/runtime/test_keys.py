"""A worker and the keys of the credentials it works with."""

import asyncio
from pathlib import Path

from cryptography.fernet import Fernet

from runtime import Context, Event, function
from runtime.settings import Settings
from state.credentials import put_credential
from state.database import Database
from state.errors import CredentialSealed
from state.keyring import KeyRing
from state.shops import open_shop
from tests.runtime.harness import worker_process, working


class Task(Event):
    pass


async def with_credential(database: Database, key: str) -> int:
    shop = (await open_shop(database, "uno")).tenant
    async with database.tenant(shop) as connection:
        await put_credential(
            connection,
            KeyRing.parse(key),
            tenant=shop,
            purpose="whatsapp",
            name="n",
            secret="planted",
        )
    return shop


async def test_a_moved_ciphertext_is_refused_and_written_into_the_audit_log(
    settings: Settings,
) -> None:
    @function()
    async def ask(event: Task, ctx: Context) -> str | None:
        try:
            return await ctx.secret("whatsapp", "n")
        except CredentialSealed as sealed:
            return str(sealed)

    assert settings.encryption_key is not None
    async with working(settings, [ask]) as platform:
        key = settings.encryption_key.get_secret_value()
        shop = await with_credential(platform.database, key)
        assert (await platform.run(Task(), tenant=shop)).result == '"planted"'
        async with platform.database.engine() as connection:
            await connection.execute("UPDATE credential SET version = version + 1")
        for _ in range(2):
            outcome = await platform.run(Task(), tenant=shop)
            assert "belongs to another row" in str(outcome.result)
        query = "SELECT tenant, action FROM audit_log WHERE action LIKE 'credential.%'"
        async with asyncio.timeout(5), platform.database.engine() as connection:
            while not (rows := await connection.fetch(query)):
                await asyncio.sleep(0.02)
    assert [tuple(row) for row in rows] == [(shop, "credential.misplaced")]


async def test_a_worker_says_at_start_which_key_is_missing_and_works_on(
    settings: Settings, database_dsn: str, tmp_path: Path
) -> None:
    database = await Database.open(database_dsn, application="test")
    await with_credential(database, Fernet.generate_key().decode())
    async with worker_process(settings, tmp_path) as worker, asyncio.timeout(15):
        while "worker started" not in worker.log.read_text():
            await asyncio.sleep(0.05)
        assert "which is not in ENCRYPTION_KEY. Put that key back" in worker.log.read_text()
        async with database.engine() as connection:
            assert await connection.fetchval("SELECT kind FROM alert") == "sealed"
    await database.aclose()


async def test_a_worker_without_any_key_does_not_start_over_stored_credentials(
    settings: Settings, database_dsn: str, tmp_path: Path
) -> None:
    database = await Database.open(database_dsn, application="test")
    await with_credential(database, Fernet.generate_key().decode())
    await database.aclose()
    for key, said in (("", "ENCRYPTION_KEY is empty"), ("short", "entry 1 is not a Fernet key")):
        async with worker_process(settings, tmp_path, ENCRYPTION_KEY=key) as worker:
            assert await worker.ended() == 78
            assert said in worker.log.read_text()
