"""`nexus replay` from a step, as it is typed."""

import asyncio
import json
from pathlib import Path

import pytest

from gateway.cli.main import main
from runtime.settings import Settings
from tests.gateway.conftest import BEARER, Client
from tests.runtime.harness import environment
from tests.sample.errand import LOG


async def typed(settings: Settings, *arguments: str) -> int:
    environ = environment(settings, "functions,tests.sample")
    return await asyncio.to_thread(main, list(arguments), environ)


async def test_replay_from_a_step_with_edited_answers_and_event(
    settings: Settings,
    api: Client,
    worker: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stored = await api.post("/functions/errand", json={"fail": True}, headers=BEARER)
    name = stored.headers["nexus-invocation"]
    answer = tmp_path / "answer.json"
    answer.write_text("7")
    LOG.clear()

    assert await typed(settings, "replay", name, "--from-step", "look") == 1
    assert "pay (writes)" in capsys.readouterr().err
    options = ["--from-step", "carry", "--edit", f"pay=@{answer}", "--event", '{"what": "milk"}']
    assert await typed(settings, "replay", name, *options, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    ended = await api.get(
        f"/functions/errand/invocations/{said['id']}", headers={**BEARER, "Prefer": "wait=20"}
    )
    assert said == {"id": ended.json()["id"], "of": name, "steps_kept": 2}
    assert ended.json()["result"] == [3, 7, "milk for 7"]
    assert LOG == ["carry"]

    assert await typed(settings, "replay", name, "--from-step", "carry") == 0
    assert f"{name}  runs again; 2 steps keep their answers" in capsys.readouterr().out


async def test_what_is_typed_wrongly_is_named(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "inv_0000000000001"
    for arguments, told in (
        ([name, "--edit", "pay"], "write NAME=JSON or NAME=@FILE"),
        ([name, "--edit", "pay={"], "--edit pay: not JSON"),
        ([name, "--event", "@nowhere.json"], "--event: No such file"),
        ([name, name, "--from-step", "pay"], "one invocation at a time"),
    ):
        assert await typed(settings, "replay", *arguments) == 2, arguments
        assert told in capsys.readouterr().err


async def test_capture_writes_a_file_that_runs(
    settings: Settings,
    api: Client,
    worker: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stored = await api.post("/functions/errand", json={"what": "milk"}, headers=BEARER)
    name = stored.headers["nexus-invocation"]
    file = tmp_path / "test_errand.py"

    assert await typed(settings, "capture", name, "--output", str(file)) == 0
    assert str(file) in capsys.readouterr().out
    compile(file.read_text(), str(file), "exec")
    assert await typed(settings, "capture", name) == 0
    assert capsys.readouterr().out == file.read_text()
    assert await typed(settings, "capture", name, "--output", str(tmp_path / "no" / "x.py")) == 1
    assert "--output: No such file" in capsys.readouterr().err
    assert await typed(settings, "capture", "inv_0000000000001") == 1
