"""Before a deploy: does the next version take what the present one has stored?"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from runtime.settings import Settings
from state.database import Database, connect
from tests.runtime.harness import ROOT, environment

Nexus: TypeAlias = Callable[..., "subprocess.CompletedProcess[str]"]

BEFORE = """
class {event}(Event):
    name: str
    lines: list[dict[str, int]] = []
"""
VERSIONS = {
    "before": ("greeting", BEFORE, ""),
    "more": ("greeting", BEFORE + "    mood: str = 'glad'\n", ""),
    "stricter": ("greeting", BEFORE.replace("name: str", "name: int") + "    last: str\n", ""),
    "less": ("greeting", "class {event}(Event):\n    name: str\n", ""),
    "renamed": ("salute", BEFORE, ""),
    "renamed_well": ("salute", BEFORE, 'aliases=("greeting",)'),
    "broken": ("greeting", BEFORE + "    mood: Mood\n", ""),
}
"""By version: the function, its event, its options."""
BODY = '''"""Greet. Safe to run twice: it only computes."""

from runtime import Context, Event, function

{event}

@function({options})
async def {name}(event: {name}_event, ctx: Context) -> str:
    """Greet."""
    return f"Hello, {{event.name}}!"
'''


def write_version(folder: Path, version: str) -> Path:
    """Write the function directory of a version; returns the folder it is imported from."""
    name, event, options = VERSIONS[version]
    package = folder / version / "shapes"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    text = BODY.format(event=event.format(event=f"{name}_event"), name=name, options=options)
    (package / f"{name}.py").write_text(text)
    return package.parent


@pytest.fixture
def nexus(settings: Settings, tmp_path: Path) -> Nexus:
    """Run a command of `nexus` as one of the versions."""
    folders = {version: write_version(tmp_path, version) for version in VERSIONS}

    def run(version: str, *words: str) -> "subprocess.CompletedProcess[str]":
        path = os.pathsep.join([str(folders[version]), str(ROOT)])
        return subprocess.run(
            [sys.executable, "-m", "gateway.cli", *words],
            env=environment(settings, "shapes", PYTHONPATH=path),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


async def stored(nexus: Nexus, settings: Settings, count: int = 1) -> None:
    """Have the version before store an event, so many times, and nobody run it."""
    data = json.dumps({"name": "Ana", "lines": [{"price": 1}, {"price": 2}]})
    words = ("invoke", "greeting", "--no-wait", "--data", data)
    done = await asyncio.to_thread(nexus, "before", *words)
    assert done.returncode == 0, done.stderr
    await changed(
        settings,
        "WITH more AS (INSERT INTO invocation (id, tenant, fn, event, created_at)"
        " SELECT nextval('invocation_id'), i.tenant, i.fn, i.event, i.created_at"
        f" FROM invocation i, generate_series(2, {count:d}) RETURNING id, tenant, fn)"
        " INSERT INTO work (id, tenant, fn, run_at) SELECT id, tenant, fn, now() FROM more",
    )


async def changed(settings: Settings, statement: str) -> str:
    assert settings.postgres_dsn is not None
    database = await Database.open(settings.postgres_dsn.get_secret_value(), application="test")
    try:
        async with database.engine() as connection:
            return str(await connection.execute(statement))
    finally:
        await database.aclose()


async def counted(settings: Settings) -> list[int]:
    """The rows of every table of ours."""
    assert settings.postgres_dsn is not None
    connection = await connect(
        settings.postgres_dsn.get_secret_value(), application="test", role=None
    )
    tables = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'r'"
        " AND relnamespace = 'public'::regnamespace ORDER BY 1"
    )
    rows = [await connection.fetchval(f"SELECT count(*) FROM {one[0]}") for one in tables]
    await connection.close()
    return rows


async def checked(nexus: Nexus, version: str) -> tuple[int, Any]:
    done = await asyncio.to_thread(nexus, version, "deploy", "--check", "--json")
    return done.returncode, json.loads(done.stdout)


async def test_a_version_that_takes_everything_may_be_deployed(
    nexus: Nexus, settings: Settings
) -> None:
    await stored(nexus, settings, 3)
    for version in ("before", "more", "renamed_well"):
        code, said = await checked(nexus, version)
        assert (code, said["ok"], said["invocations"]) == (0, True, 3), (version, said)
    done = await asyncio.to_thread(nexus, "more", "deploy", "--check")
    assert "takes all that waits or runs: 3 invocations" in done.stdout


async def test_an_event_that_would_be_rejected_refuses_it_by_field_and_count(
    nexus: Nexus, settings: Settings
) -> None:
    await stored(nexus, settings, 2503)  # more than is read at a time
    await changed(settings, "UPDATE work SET worker = 1 WHERE id % 2 = 0")  # some of them run
    code, said = await checked(nexus, "stricter")

    assert (code, said["ok"], said["invocations"], said["rejected"]) == (1, False, 2503, 2503)
    fields = {(one["function"], one["field"]): one for one in said["rejections"]}
    assert set(fields) == {("greeting", "name"), ("greeting", "last")}
    assert fields["greeting", "last"]["message"] == "Field required"
    assert fields["greeting", "last"]["invocations"] == 2503
    assert fields["greeting", "last"]["example"].startswith("inv_")

    done = await asyncio.to_thread(nexus, "stricter", "deploy", "--check")
    assert done.returncode == 1
    assert "greeting: last: Field required (2,503, for instance inv_" in done.stderr
    assert "Ana" not in done.stderr, "what somebody wrote is not repeated"


async def test_a_field_that_is_gone_refuses_it(nexus: Nexus, settings: Settings) -> None:
    await stored(nexus, settings)
    code, said = await checked(nexus, "less")

    assert code == 1
    assert said["rejections"][0]["field"] == "lines"
    assert said["rejections"][0]["message"].startswith("no such field")


async def test_a_function_that_is_gone_without_an_alias_refuses_it(
    nexus: Nexus, settings: Settings
) -> None:
    await stored(nexus, settings, 2)
    code, said = await checked(nexus, "renamed")

    (only,) = said["rejections"]
    assert (code, only["function"], only["field"], only["invocations"]) == (1, "greeting", None, 2)


async def test_a_file_that_does_not_import_refuses_it(nexus: Nexus, settings: Settings) -> None:
    code, said = await checked(nexus, "broken")

    assert (code, said["ok"], said["invocations"]) == (1, False, 0)
    assert "Mood" in said["broken"][0]["error"]


async def test_a_check_writes_nothing(nexus: Nexus, settings: Settings) -> None:
    await stored(nexus, settings)
    before = await counted(settings)
    for version in ("renamed", "stricter", "more"):
        await checked(nexus, version)
    assert await counted(settings) == before


async def test_without_check_it_says_what_to_type(nexus: Nexus) -> None:
    done = await asyncio.to_thread(nexus, "before", "deploy")
    assert done.returncode == 2
    assert "--check" in done.stderr
