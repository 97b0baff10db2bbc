"""An upgrade while everything runs: the version before goes on over the next one's schema."""

import asyncio
import shutil
import sys
from pathlib import Path

import pytest

from functions.hello import Hello
from gateway.sandbox import new_shopper, write
from runtime.registry import load_registry
from runtime.settings import Settings
from state import migrate
from state.channels import open_phone
from state.database import connect
from state.ids import parse_id
from state.shops import open_shop
from tests.runtime.harness import (
    ROOT,
    Platform,
    environment,
    platform,
    until,
    worker_process,
)
from tests.sample.greet import Greet
from tests.sample.note import Note

BOTH = "functions,tests.sample"
BOOKS = 5
NEXT = {
    "9990_weight_of_work.sql": "ALTER TABLE work ADD COLUMN weight int NOT NULL DEFAULT 1",
    "9991_weight_of_lanes.sql": "ALTER TABLE lane ADD COLUMN weight int NOT NULL DEFAULT 1",
    "9992_who_asked.sql": "ALTER TABLE invocation ADD COLUMN asked_by text",
    "9993_mood.sql": "ALTER TABLE conversation ADD COLUMN mood text",
    "9994_weight_of_messages.sql": "ALTER TABLE message ADD COLUMN weight int NOT NULL DEFAULT 1",
    "9995_moods.sql": "CREATE TABLE mood (tenant int NOT NULL REFERENCES shop, name text);"
    " CREATE INDEX mood_shop ON mood (tenant)",
}
"""One busy table per file: see CONTRIBUTING.md."""

TOAST = """
from typing import Literal

from runtime import Context, Event, function


class Toast(Event):
    name: str
    book: str | None = None
{fields}


@function(lane="book")
async def toast(event: Toast, ctx: Context) -> str:
    return "{answer}"
"""


@pytest.fixture
def next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files of a version after this one; returns the names of what it brings."""
    folder = tmp_path / "next"
    for name in ("migrations", "routines"):
        shutil.copytree(migrate.HERE / name, folder / name)
    shutil.copy(migrate.HERE / migrate.ISOLATION, folder)
    for name, text in NEXT.items():
        (folder / "migrations" / name).write_text(text)
    code = sorted((folder / "routines").iterdir())
    for path in code:
        path.write_text(path.read_text() + "\n-- of the next version\n")
    monkeypatch.setattr(migrate, "HERE", folder)
    return [*NEXT, migrate.ISOLATION, *(path.name for path in code)]


class Load:
    """Notes in order, in several books; and shoppers, of whom each writes once."""

    def __init__(self, found: Platform, file: Path) -> None:
        self.found, self.file = found, file
        self.notes = [0] * BOOKS
        self.messages = 0
        self.running = True

    async def run(self) -> None:
        shop = await open_shop(self.found.database, "uno")
        async with self.found.database.tenant(shop.tenant) as connection:
            await open_phone(connection, shop)
        while self.running:
            events = []
            for book in range(BOOKS):
                line = f"{book} {self.notes[book]}"
                events.append(Note(file=str(self.file), line=line, book=str(book)))
                self.notes[book] += 1
            await self.found.dispatcher.dispatch_many(events)
            await write(self.found.dispatcher, shop, new_shopper("Ana"), "hola")
            self.messages += 1
            await until(lambda: sum(self.notes) < sum(map(len, self.written())) + 50, 60)

    def written(self) -> list[list[int]]:
        """The notes of each book, in the order in which they were written."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        found: list[list[int]] = [[] for _ in range(BOOKS)]
        for line in lines:
            book, number, _ = line.split()
            found[int(book)].append(int(number))
        return found

    async def until_more(self, count: int) -> None:
        before = sum(map(len, self.written()))
        await until(lambda: sum(map(len, self.written())) >= before + count, 60)


async def test_the_version_before_works_on_during_a_migration(
    settings: Settings, tmp_path: Path, next_version: list[str]
) -> None:
    assert settings.postgres_dsn is not None
    quick = {"NEXUS_FUNCTIONS": BOTH, "NEXUS_QUIET_SECONDS": "0.1"}
    async with (
        platform(settings, load_registry(BOTH)) as found,
        worker_process(settings, tmp_path, **quick) as old,
    ):
        load = Load(found, tmp_path / "notes")
        task = asyncio.create_task(load.run())
        await load.until_more(100)
        applied = await migrate.migrate(settings.postgres_dsn.get_secret_value())
        await load.until_more(100)
        async with worker_process(settings, tmp_path, **quick):  # side by side with another one
            await load.until_more(100)
            load.running = False
            await task
            await found.zero("SELECT count(*) FROM work")
        said = old.log.read_text()
        delivered = await found.value("SELECT count(*) FROM message WHERE state = 'delivered'")
        bad = await found.value("SELECT count(*) FROM outcome WHERE state <> 'd'")
        failures = await found.value("SELECT count(*) FROM failure")

    assert applied == next_version
    assert load.written() == [list(range(count)) for count in load.notes]
    assert delivered == load.messages
    assert (bad, failures) == (0, 0)
    assert "WARNING" not in said, said
    assert "ERROR" not in said, said


async def test_a_change_of_a_busy_table_waits_without_holding_up_the_others(
    settings: Settings, next_version: list[str]
) -> None:
    assert settings.postgres_dsn is not None
    dsn = settings.postgres_dsn.get_secret_value()
    slow, other = await connect(dsn, application="test"), await connect(dsn, application="test")
    async with slow.transaction():
        await slow.execute("LOCK TABLE work IN ROW EXCLUSIVE MODE")  # a long transaction
        migrating = asyncio.create_task(migrate.migrate(dsn))
        async with asyncio.timeout(20):
            while not await other.fetchval(
                "SELECT true FROM pg_locks WHERE relation = 'work'::regclass AND NOT granted"
            ):
                await asyncio.sleep(0.01)
            await other.execute("DELETE FROM work")  # goes on, before the long one has ended
    assert await migrating == next_version
    await slow.close()
    await other.close()


async def test_a_worker_leaves_what_it_does_not_know_to_those_who_do(
    settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "notes"
    async with platform(settings, load_registry(BOTH)) as found:
        async with worker_process(settings, tmp_path, NEXUS_FUNCTIONS="functions") as old:
            notes = [Note(file=str(file), line=str(n), book="b") for n in range(3)]
            new = await found.dispatcher.dispatch_many([Greet(), *notes])
            known = await found.run(Hello(name="Ana"))
            assert known.result == '"Hello, Ana!"'
            for number in new:
                waiting = await found.invocations.get(number)
                assert waiting is not None
                assert (waiting.state, waiting.errors) == ("waiting", 0)
            assert "WARNING" not in old.log.read_text()
        async with worker_process(settings, tmp_path):
            assert [(await found.end_of(number)).state for number in new] == ["done"] * 4
    assert [line.split()[0] for line in file.read_text().splitlines()] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "mood: str = 'glad'"),
        ("mood: Literal['glad'] = 'glad'", "mood: Literal['glad', 'sad'] = 'glad'"),
    ],
    ids=["field", "value"],
)
async def test_an_event_of_a_newer_version_waits_for_a_worker_that_knows_it(
    settings: Settings, tmp_path: Path, before: str, after: str
) -> None:
    def version(name: str, fields: str) -> dict[str, str]:
        package = tmp_path / name / "shapes"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "toast.py").write_text(TOAST.format(fields=f"    {fields}", answer=name))
        path = f"{package.parent}:{ROOT}"
        return {"NEXUS_FUNCTIONS": "shapes", "PYTHONPATH": path, "NEXUS_LOG_FORMAT": "text"}

    old, new = version("old", before), version("new", after)
    known = ["mood=glad"] if before else []
    async with (
        platform(settings, load_registry("functions")) as found,
        worker_process(settings, tmp_path, **old) as worker,
    ):
        first = await invoked(settings, new, "toast", "name=Ana", "book=b", "mood=sad")
        second = await invoked(settings, old, "toast", "name=Bea", "book=b", *known)
        third = await invoked(settings, old, "toast", "name=Eva", *known)
        assert (await found.end_of(third)).result == '"old"'
        told = "an event of a newer version waits"
        await until(lambda: worker.log.read_text().count(told) >= 2)
        waiting = await found.invocations.get(first)
        assert waiting is not None
        assert (waiting.errors, waiting.done_at, waiting.failures) == (0, None, [])
        behind = await found.invocations.get(second)
        assert behind is not None
        assert behind.state == "waiting", "order is kept"
        async with worker_process(settings, tmp_path, **new):  # side by side
            assert (await found.end_of(first, seconds=120)).result == '"new"'
            assert (await found.end_of(second)).state == "done"
        assert "WARNING" not in worker.log.read_text()


async def invoked(settings: Settings, version: dict[str, str], *words: str) -> int:
    """Store an event as a version's own command does; returns its number."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.cli", "invoke", *words, "--no-wait"),
        env=environment(settings, "", **version),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return parse_id(output.decode().strip())
