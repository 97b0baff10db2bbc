"""A back-up holds one moment of the database, and brings it back whole or not at all."""

import asyncio
import errno
import hashlib
import json
import os
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from state import audit, migrate
from state.backup import archive as archives
from state.backup.archive import reading, writing
from state.backup.dump import FLEETING, dump
from state.backup.manifest import BackupUnusable
from state.backup.target import found_in
from state.database import Connection, Database, connect
from state.inbound import Written, take_messages
from state.migrate import our_tables
from state.shops import open_shop
from tests.backups import back_up, bring_back, silent

CHANGED = {"work", "lane", "step", "schedule", "intake_clock", "edge", "domain", "invocation"}
"""Tables that a restore itself writes into, besides those of back-ups and the audit log."""


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    opened = await Database.open(database_dsn, application="test")
    yield opened
    await opened.aclose()


async def owner(dsn: str) -> Connection:
    return await connect(dsn, application="test", role=None)


async def texts(dsn: str, tables: set[str]) -> dict[str, list[str]]:
    """Every row of some tables, as text."""
    connection = await owner(dsn)
    try:
        return {
            name: sorted(
                row[0] for row in await connection.fetch(f'SELECT t::text FROM "{name}" t')
            )
            for name in tables
        }
    finally:
        await connection.close()


async def filled(database: Database) -> int:
    """A shop with awkward values in many columns; returns it."""
    shop = (await open_shop(database, "uno")).tenant
    async with database.engine() as connection, connection.transaction():
        await connection.execute("INSERT INTO function (name) VALUES ('vectors_rebuild')")
        await connection.execute(
            "INSERT INTO stored_file (tenant, name, media_type, body)"
            " VALUES ($1, E'a\\tb\\\\N\\n', 'x', $2)",
            shop,
            bytes(range(256)) * 500,
        )
        await connection.execute(
            "INSERT INTO source (tenant, kind, name, file_id) VALUES ($1, 'document', 'ñ\\.', 1)",
            shop,
        )
        await connection.execute(
            "INSERT INTO passage (tenant, source_id, place, title, body, space)"
            " VALUES ($1, 1, 1, '', 'Envíos a todo el país', 'hash')",
            shop,
        )
        await connection.execute(
            "INSERT INTO turn (turn_id, tenant, conversation_id, started_at, ended_at, outcome,"
            " trace) VALUES (7, $1, 1, now(), 'infinity', 'silent', $2::jsonb)",
            shop,
            json.dumps([{"a": "\\N\n\t\"'"}]),
        )
        await audit.record(connection, actor="añ", action="a.b", subject="s", detail={"n": 1.5})
    return shop


async def test_every_table_of_ours_is_known_by_name(database_dsn: str) -> None:
    connection = await owner(database_dsn)
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert {row[0] for row in rows} - {"migration"} == our_tables()
    await connection.close()


async def test_what_is_brought_back_is_what_was_there(
    database: Database, database_dsn: str, empty_dsn: str, tmp_path: Path
) -> None:
    shop = await filled(database)
    kept = (
        set(our_tables() - FLEETING) - CHANGED - {"restoration", "backup", "audit_log", "passage"}
    )
    before = await texts(database_dsn, kept)
    manifest = await back_up(database_dsn, tmp_path / "a.backup")

    await bring_back(tmp_path / "a.backup", empty_dsn)

    assert await texts(empty_dsn, kept) == before
    assert {one.name for one in manifest.tables} == our_tables() - FLEETING
    restored = await Database.open(empty_dsn, application="test")
    async with restored.tenant(shop) as connection:
        (found,) = await connection.fetch("SELECT space, words @@ 'envi' AS found FROM passage")
        assert (found["space"], found["found"]) == (None, True)
    async with restored.engine() as connection:
        assert await audit.verify(connection) is None
        actions = await connection.fetch("SELECT action FROM audit_log ORDER BY audit_id")
        assert [row[0] for row in actions] == ["a.b", "backup.restore"]
        assert await connection.fetchval("SELECT file FROM backup") == str(tmp_path / "a.backup")
        rebuilds = "SELECT tenant FROM work JOIN function USING (fn) WHERE name = 'vectors_rebuild'"
        assert [row[0] for row in await connection.fetch(rebuilds)] == [shop]
    await restored.aclose()


async def test_a_backup_under_load_holds_one_moment(
    database: Database, database_dsn: str, empty_dsn: str, tmp_path: Path
) -> None:
    shop = (await open_shop(database, "uno")).tenant
    written = 0

    async def write(writer: int) -> None:
        """Each number goes into two tables in one transaction, one number after another."""
        nonlocal written
        number = 0
        while True:
            name = f"{writer}.{number}"
            async with database.engine() as connection, connection.transaction():
                await connection.execute(
                    "INSERT INTO contact (tenant, name) VALUES ($1, $2)", shop, name
                )
                await connection.execute(
                    "INSERT INTO oddity (tenant, delivery_id, place, reason)"
                    " VALUES ($1, 1, $2, '')",
                    shop,
                    name,
                )
            number, written = number + 1, written + 1

    tasks = [asyncio.create_task(write(writer)) for writer in range(4)]
    async with asyncio.timeout(20):
        while written < 200:
            await asyncio.sleep(0.01)
        manifest = await back_up(database_dsn, tmp_path / "a.backup")
        at_the_end = written
        while written < at_the_end + 50:  # nobody was held up
            await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    await bring_back(tmp_path / "a.backup", empty_dsn)

    connection = await owner(empty_dsn)
    names = {row[0] for row in await connection.fetch("SELECT name FROM contact")}
    assert names == {row[0] for row in await connection.fetch("SELECT place FROM oddity")}
    assert len(names) == manifest.rows("contact") >= 200
    for writer in range(4):
        numbers = sorted(int(one.split(".")[1]) for one in names if one.startswith(f"{writer}."))
        assert numbers == list(range(len(numbers)))
    await connection.close()


async def test_ids_that_a_lost_life_gave_away_are_not_given_again(
    database: Database, database_dsn: str, empty_dsn: str, tmp_path: Path
) -> None:
    shop = (await open_shop(database, "uno")).tenant
    await back_up(database_dsn, tmp_path / "a.backup")
    statement = "INSERT INTO contact (tenant) VALUES ($1) RETURNING contact_id"
    async with database.engine() as connection:
        lost = await connection.fetchval(statement, shop)
    await bring_back(tmp_path / "a.backup", empty_dsn)
    connection = await owner(empty_dsn)
    assert await connection.fetchval(statement, shop) > lost + 1_000_000
    assert await connection.fetchval("SELECT nextval('invocation_id')") > 1_000_000
    await connection.close()


async def test_logins_leases_and_the_feed_are_not_taken_along(
    database: Database, database_dsn: str, empty_dsn: str, tmp_path: Path
) -> None:
    async with database.engine() as connection:
        await connection.execute(
            "INSERT INTO worker (host, pid, solo, lease_until) VALUES ('h', 1, false, now())"
        )
        await connection.execute("INSERT INTO session VALUES ('\\x01', 'c', 'f')")
        await connection.execute("SELECT note_changes('test', '{0}', '{1}')")
        await connection.execute("INSERT INTO function (name) VALUES ('f'), ('g')")
        await connection.execute(
            "INSERT INTO work (id, tenant, fn, lane, run_at, worker, epoch)"
            " VALUES (1, 0, 1, NULL, now(), 1, 4), (2, 0, 2, 5, now(), NULL, 0)"
        )
        await connection.execute("INSERT INTO lane VALUES (0, 5, 1, NULL, NULL, 1, 9)")
        await connection.execute("INSERT INTO schedule VALUES (1, '* * * * *', 'UTC', now())")
    await back_up(database_dsn, tmp_path / "a.backup")

    await bring_back(tmp_path / "a.backup", empty_dsn)

    connection = await owner(empty_dsn)
    for table in ("worker", "session", "change", "schedule"):
        assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0, table
    owned = await connection.fetch("SELECT worker, epoch FROM work ORDER BY id")
    assert [tuple(row) for row in owned] == [(None, 4), (None, 0)]
    lane = await connection.fetchrow("SELECT worker, epoch, fn, run_at IS NULL FROM lane")
    assert tuple(lane) == (None, 9, 2, False)  # its head may run
    await connection.close()


async def test_a_backup_of_an_older_version_is_brought_to_this_one(
    empty_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrations, code = migrate.files()
    older = ([path for path in migrations if path.name < "0007"], code[:1])
    with monkeypatch.context() as patched:
        patched.setattr(migrate, "files", lambda: older)
        connection = await owner(empty_dsn)
        await migrate.apply(connection, roles=False)
        await connection.execute("INSERT INTO shop (tenant, name) VALUES (1, 'uno')")
        await connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO nexus_engine")
        await connection.close()
        await back_up(empty_dsn, tmp_path / "a.backup")

    restored = await bring_back(tmp_path / "a.backup", empty_dsn)

    assert restored.migrated == [path.name for path in migrations if path.name >= "0007"]
    assert (await found_in(empty_dsn)).shops == ["uno"]
    assert await migrate.pending(empty_dsn) == []


async def test_what_is_there_is_replaced_whole_or_not_at_all(
    database: Database, database_dsn: str, tmp_path: Path
) -> None:
    await open_shop(database, "antes")
    await back_up(database_dsn, tmp_path / "a.backup")
    await open_shop(database, "despues")
    rewrite(tmp_path / "a.backup", tmp_path / "b.backup", add_a_row, keep_hashes=False)

    with pytest.raises(BackupUnusable, match="do not fit"):
        await bring_back(tmp_path / "b.backup", database_dsn)
    assert (await found_in(database_dsn)).shops == ["antes", "despues"]

    await bring_back(tmp_path / "a.backup", database_dsn)
    found = await found_in(database_dsn)
    assert found.shops == ["antes"]
    assert found.others == []


async def test_nothing_is_restored_under_somebody_who_works(
    database: Database, database_dsn: str, tmp_path: Path
) -> None:
    await back_up(database_dsn, tmp_path / "a.backup")
    worker = await connect(database_dsn, application="nexus worker")
    with pytest.raises(BackupUnusable, match=r"nexus worker \(1 connections\)"):
        await bring_back(tmp_path / "a.backup", database_dsn)
    await worker.close()
    await bring_back(tmp_path / "a.backup", database_dsn)


async def test_tables_of_somebody_else_are_seen(database_dsn: str, empty_dsn: str) -> None:
    connection = await owner(empty_dsn)
    await connection.execute("CREATE TABLE ledger (n int)")
    await connection.close()
    assert (await found_in(empty_dsn)).others == ["ledger"]
    assert (await found_in(database_dsn)).others == []


Change = Callable[[str, bytes], bytes]


def add_a_row(name: str, body: bytes) -> bytes:
    return body + b"9\t\\N\t\\N\t\\N\t2026-01-01\n" if name == "tables/contact" else body


def rewrite(path: Path, to: Path, change: Change, *, keep_hashes: bool = True) -> Path:
    """Write a back-up again with changed members."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w") as new:
        hashes: dict[str, str] = {}
        for name in old.namelist():
            body = old.read(name)
            if name == archives.MANIFEST and not keep_hashes:
                said = json.loads(body)
                for member in said["members"]:
                    member["sha256"] = hashes[member["name"]]
                body = json.dumps(said).encode()
            body = change(name, body)
            hashes[name] = hashlib.sha256(body).hexdigest()
            new.writestr(name, body)
    return to


def of_manifest(**changes: object) -> Change:
    def change(name: str, body: bytes) -> bytes:
        if name != archives.MANIFEST:
            return body
        return json.dumps({**json.loads(body), **changes}).encode()

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (add_a_row, "tables/contact was changed after it was written"),
        (of_manifest(members=[]), "other members than its manifest says"),
        (of_manifest(format=2), "form 2"),
        (of_manifest(made_at="yesterday"), "cannot be read"),
        (of_manifest(surprise=1), "cannot be read"),
        (
            of_manifest(version="5.1", migrations={"0099_later.sql": ""}),
            "newer Nexus .5.1, with 0099",
        ),
        (of_manifest(migrations={"0001_engine.sql": "x"}), "another build of Nexus"),
        (of_manifest(tables=[{"name": "pg_authid", "columns": [], "rows": 0}]), "does not have"),
    ],
    ids=["a row", "members", "form", "time", "field", "newer", "build", "table"],
)
async def test_a_changed_file_is_refused_before_anything_is_touched(
    database_dsn: str, tmp_path: Path, change: Change, said: str
) -> None:
    await back_up(database_dsn, tmp_path / "a.backup")
    other = rewrite(tmp_path / "a.backup", tmp_path / "b.backup", change)
    with pytest.raises(BackupUnusable, match=said):
        await bring_back(other, "postgresql://nobody@127.0.0.1:1/none")


async def test_a_file_that_is_cut_off_or_damaged_is_refused(
    database: Database, database_dsn: str, tmp_path: Path
) -> None:
    await filled(database)
    await back_up(database_dsn, tmp_path / "a.backup")
    whole = (tmp_path / "a.backup").read_bytes()
    other = tmp_path / "b.backup"
    for share in (0.0, 0.3, 0.9, 0.999):
        other.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(BackupUnusable, match="no whole back-up"):
            await bring_back(other, "postgresql://nobody@127.0.0.1:1/none")
    noticed = 0
    for place in range(50, len(whole) * 9 // 10, len(whole) // 23):
        other.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        try:
            with reading(other) as archive:
                archive.verify(silent)
                assert contents(other) == contents(tmp_path / "a.backup")  # it meant nothing
        except BackupUnusable:
            noticed += 1
    assert noticed > 10


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as zipped:
        return {name: zipped.read(name) for name in zipped.namelist()}


async def test_a_full_disk_leaves_nothing_behind(
    database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BackupUnusable, match="No space left on device; nothing was written"):
        await back_up(database_dsn, tmp_path / "a.backup")
    assert list(tmp_path.iterdir()) == []


async def test_a_backup_is_its_owners_alone_and_overwrites_only_when_told(
    database_dsn: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.backup"
    (tmp_path / ".a.backup.part").write_bytes(b"left by one that was killed")
    await back_up(database_dsn, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["a.backup"]
    with pytest.raises(BackupUnusable, match="--force"):
        await back_up(database_dsn, path)
    before = path.stat().st_ino
    with writing(path, replace=True) as archive:
        await dump(database_dsn, archive, tmp_path, version="4.0.0", told=silent)
        with pytest.raises(BackupUnusable, match="just writing"), writing(path, replace=True):
            pass
    assert path.stat().st_ino != before


async def test_a_message_from_before_the_end_of_a_lost_life_is_a_persons(
    database: Database, database_dsn: str, tmp_path: Path
) -> None:
    shop = (await open_shop(database, "uno")).tenant
    async with database.engine() as connection:
        channel = await connection.fetchval(
            "INSERT INTO channel (tenant, kind, app, address, display)"
            " VALUES ($1, 'cloud_api', 'meta', '1', '1') RETURNING channel_id",
            shop,
        )
    await back_up(database_dsn, tmp_path / "a.backup")
    stopped = datetime.now(UTC) - timedelta(minutes=10)
    await bring_back(tmp_path / "a.backup", database_dsn, stopped_at=stopped)

    asked = []
    async with database.tenant(shop) as connection:
        for minutes, phone in ((11, "1"), (9, "2")):
            at = stopped + timedelta(minutes=10 - minutes)
            one = Written(channel, phone, None, "Ana", f"w{phone}", "text", "hola", {}, at)
            asked += [taken.asks for taken in await take_messages(connection, shop, [one])]
        held = await connection.fetch("SELECT address, holder FROM conversation ORDER BY address")
        assert await connection.fetchval("SELECT count(*) FROM alert WHERE kind = 'restored'") == 1
    assert asked == [False, True]
    assert [tuple(row) for row in held] == [("1", "person"), ("2", "agent")]
