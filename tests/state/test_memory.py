"""The change feed, the audit log, credentials, ids, retention, migrations."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state import audit, migrate
from state.changes import Change, ChangeFeed, parse_cursor
from state.database import Database, connect
from state.errors import DatabaseUnfit
from state.health import check_durability, database_health
from state.ids import parse_id, public_id
from state.retention import forget_old


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    database = await Database.open(database_dsn, application="test")
    yield database
    await database.aclose()


async def note(database: Database, number: int, tenant: int = 1, topic: str = "test") -> None:
    async with database.engine() as connection:
        await connection.execute("SELECT note_changes($3, $1, $2)", [tenant], [number], topic)


async def until_watched(database: Database, topics: list[str] | None) -> None:
    """Wait until Postgres knows that somebody follows, and what."""
    async with asyncio.timeout(10), database.engine() as connection:
        while [topics] != [row[0] for row in await connection.fetch("SELECT topics FROM watcher")]:
            await asyncio.sleep(0.01)


async def take(
    feed: ChangeFeed, cursor: str | None, count: int, topic: str | None = None
) -> list[Change]:
    found: list[Change] = []
    async with asyncio.timeout(10):
        async for change in feed.follow(cursor, topic=topic):
            found.append(change)
            if len(found) == count:
                break
    return found


async def test_the_feed_can_be_resumed_from_any_point(database: Database) -> None:
    feed = ChangeFeed(database)
    head = await feed.head()
    for number in range(5):
        await note(database, number)
    everything = await take(feed, head, 5)
    assert [change.ids for change in everything] == [(0,), (1,), (2,), (3,), (4,)]
    rest = await take(feed, everything[1].cursor, 3)
    assert [change.ids for change in rest] == [(2,), (3,), (4,)]
    await feed.aclose()


async def test_the_feed_tells_at_once_while_somebody_follows(database: Database) -> None:
    feed = ChangeFeed(database)
    following = asyncio.create_task(take(feed, None, 1))
    await until_watched(database, None)
    await note(database, 7)
    assert [change.ids for change in await following] == [(7,)]
    await feed.aclose()


async def test_who_follows_one_topic_is_told_of_no_other(database: Database) -> None:
    feed, heard = ChangeFeed(database), []
    following = asyncio.create_task(take(feed, None, 2, "app"))
    await until_watched(database, ["app"])
    listener = await connect(database.dsn, application="test", role=None)
    await listener.add_listener("nexus_change", lambda *_: heard.append(1))
    for number in range(5):
        await note(database, number)
    await note(database, 7, topic="app")
    await note(database, 8, topic="app")
    assert [change.ids for change in await following] == [(7,), (8,)]
    await listener.fetchval("SELECT 1")
    assert len(heard) == 2
    await listener.close()
    await feed.aclose()


async def test_who_follows_one_topic_does_not_read_the_others_again(database: Database) -> None:
    feed = ChangeFeed(database)
    head = parse_cursor(await feed.head())
    for number in range(5):
        await note(database, number)
    changes, place = await feed._read(head, None, ["app"])
    assert changes == []
    everything, _ = await feed._read(place, None, None)
    assert everything == []
    await feed.aclose()


async def test_who_follows_everything_is_heard_of_beside_one_who_follows_a_topic(
    database: Database,
) -> None:
    feed = ChangeFeed(database)
    narrow = asyncio.create_task(take(feed, None, 1, "app"))
    await until_watched(database, ["app"])
    wide = asyncio.create_task(take(feed, None, 1))
    await until_watched(database, None)
    await note(database, 7)
    assert [change.ids for change in await wide] == [(7,)]
    narrow.cancel()
    await asyncio.gather(narrow, return_exceptions=True)
    await feed.aclose()


async def test_the_feed_never_passes_a_change_that_commits_later(database: Database) -> None:
    feed = ChangeFeed(database)
    head = await feed.head()
    async with database.engine() as early:
        async with early.transaction():
            await early.execute("SELECT note_changes('test', '{1}', '{1}')")
            await note(database, 2)
            following = asyncio.create_task(take(feed, head, 2))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await asyncio.shield(following)
        assert [change.ids for change in await following] == [(1,), (2,)]
    await feed.aclose()


@pytest.mark.parametrize("turns", range(6))
async def test_a_reader_stops_even_when_something_happens_in_that_moment(
    database: Database, turns: int
) -> None:
    feed = ChangeFeed(database)
    reading = asyncio.create_task(take(feed, None, 1))
    await asyncio.sleep(0.1)  # it has read, and waits: if not, this only proves less
    feed._tell()
    for _ in range(turns):  # of the loop, between the news and the end
        await asyncio.sleep(0)
    reading.cancel()

    done, _ = await asyncio.wait([reading], timeout=3)
    assert done
    await feed.aclose()


@pytest.mark.parametrize("cursor", ["", "1", "x.1", "1.x", "-1.2", "1.2.3", "9" * 40 + ".1"])
async def test_a_forged_cursor_is_refused(database: Database, cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        await take(ChangeFeed(database), cursor, 1)


async def test_the_audit_chain_shows_the_first_row_that_was_changed(
    database: Database, database_dsn: str
) -> None:
    async with database.engine() as connection:
        for number in range(3):
            async with connection.transaction():
                await audit.record(
                    connection, actor="añ", action="a.b", subject=str(number), detail={"n": number}
                )
        assert await audit.verify(connection) is None
    owner = await connect(database_dsn, application="test", role=None)
    await owner.execute("UPDATE audit_log SET subject = 'other' WHERE audit_id = 2")
    assert await audit.verify(owner) == 2
    await owner.execute("UPDATE audit_log SET subject = '1' WHERE audit_id = 2")
    await owner.execute("DELETE FROM audit_log WHERE audit_id = 1")
    assert await audit.verify(owner) == 2
    await owner.close()


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_public_ids_lead_back_to_their_number(number: int) -> None:
    assert parse_id(public_id(number)) == number


@pytest.mark.parametrize(
    "text", ["", "inv_", "inv_short", "inv_uuuuuuuuuuuuu", "x" * 17, "-1", "1.5"]
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an invocation's id"):
        parse_id(text)


async def test_old_rows_are_forgotten_and_new_ones_kept(database: Database) -> None:
    await note(database, 1)
    await note(database, 2)
    async with database.engine() as connection:
        await connection.execute("UPDATE change SET at = at - interval '2 days' WHERE ids = '{1}'")
        for number, days, state in ((1, 40, "d"), (2, 1, "d"), (3, 40, "x")):
            await connection.execute(
                "INSERT INTO outcome (id, state, epoch, done_at)"
                ' VALUES ($1, $2::text::"char", 1, clock_timestamp() - make_interval(days => $3))',
                number,
                state,
                days,
            )
        await connection.execute("SELECT raise_dead(1, 3, 'still open')")
    forgotten = await forget_old(database)
    assert forgotten["changes"] == 1
    async with database.engine() as connection:
        left = await connection.fetch("SELECT id FROM outcome ORDER BY id")
    assert [row["id"] for row in left] == [2, 3], "what an open alert names is kept"


async def test_health_counts_what_waits_and_runs(database: Database) -> None:
    health = await database_health(database)
    assert (health.workers, health.waiting, health.running, health.dead) == (0, 0, 0, 0)


async def test_a_server_that_may_lose_commits_is_refused(database: Database) -> None:
    async with database.engine() as connection:
        await check_durability(connection)
        await connection.execute("SET synchronous_commit = off")
        with pytest.raises(DatabaseUnfit, match="synchronous_commit=off"):
            await check_durability(connection)


async def test_many_processes_may_migrate_at_once(empty_dsn: str) -> None:
    applied = await asyncio.gather(*[migrate.migrate(empty_dsn) for _ in range(4)])
    migrations, code = migrate.files()
    first = max(applied, key=len)
    assert first == [path.name for path in [*migrations, *code]]
    assert sorted(map(len, applied)) == [0, 0, 0, len(first)]
    assert await migrate.pending(empty_dsn) == []


async def test_a_migration_that_was_changed_after_it_ran_is_refused(
    empty_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate.migrate(empty_dsn)
    migrations, code = migrate.files()
    changed = tmp_path / migrations[0].name
    changed.write_text("-- something else")
    monkeypatch.setattr(migrate, "files", lambda: ([changed, *migrations[1:]], code))
    with pytest.raises(DatabaseUnfit, match="was changed after it ran"):
        await migrate.migrate(empty_dsn)


async def test_a_migration_that_fails_leaves_nothing_half_done(
    empty_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrations, code = migrate.files()
    broken = tmp_path / "9999_broken.sql"
    broken.write_text("CREATE TABLE half (); SELECT no_such_function();")
    monkeypatch.setattr(migrate, "files", lambda: ([*migrations, broken], code))
    with pytest.raises(Exception, match="no_such_function"):
        await migrate.migrate(empty_dsn)
    connection = await connect(empty_dsn, application="test", role=None)
    assert await connection.fetchval("SELECT to_regclass('half')") is None
    assert await connection.fetchval("SELECT count(*) FROM migration") == len(migrations)
    await connection.close()
