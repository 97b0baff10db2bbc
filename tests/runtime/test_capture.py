"""A run that happened becomes a test that runs at once."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from functions.hello import hello
from runtime import Cancel, Context, Event, function
from runtime.capture import NotEnded, capture
from runtime.redaction import Redactor
from runtime.registry import Registry, load_registry
from runtime.settings import Settings
from state.invocations import InvocationDetail
from tests.runtime.harness import ROOT, Platform, working
from tests.sample.errand import Errand, errand

REGISTRY = load_registry("functions,tests.sample")


async def captured(found: Platform, number: int, **options: Any) -> str:
    detail = await found.invocations.get(number)
    assert detail is not None
    dispatched = await found.invocations.dispatched(number)
    return capture(REGISTRY, detail, dispatched, None, **options)


def run(text: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    file = folder / "test_captured.py"
    file.write_text(text)
    options = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), "-p", "tests.conftest"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-p", "no:cacheprovider", str(file)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_a_good_run_is_a_green_test(settings: Settings, tmp_path: Path) -> None:
    async with working(settings, [errand, hello]) as found:
        outcome = await found.run(Errand(what='ñandú "fresco"'))
        text = await captured(found, outcome.id)
    done = run(text, tmp_path)
    assert done.returncode == 0, done.stdout + text
    assert "look through it\nbefore you commit it" in text
    assert "Hello.model_validate" in text

    broken = run(text.replace("'price': 3", "'price': 4"), tmp_path)
    assert broken.returncode == 1, "recorded steps are what the test stands on"


async def test_a_dead_run_is_a_red_test_with_the_same_error(
    settings: Settings, tmp_path: Path
) -> None:
    async with working(settings, [errand, hello]) as found:
        outcome = await found.run(Errand(fail=True))
        text = await captured(found, outcome.id)
    done = run(text, tmp_path)
    assert done.returncode == 1, done.stdout
    assert "ValueError: dropped it" in done.stdout
    assert "# It ended as dead: 'ValueError: dropped it'" in text


async def test_what_has_not_ended_is_not_captured(settings: Settings) -> None:
    async with working(settings, [errand, hello]) as found:
        waiting = await found.dispatcher.dispatch(Errand(), delay_seconds=60)
        with pytest.raises(NotEnded, match="is waiting"):
            await captured(found, waiting.id)


async def test_a_run_that_cancelled_itself_is_expected_to(settings: Settings) -> None:
    class Gone(Event):
        pass

    @function()
    async def gone(event: Gone, ctx: Context) -> None:
        raise Cancel("the order is gone")

    async with working(settings, [gone]) as found:
        outcome = await found.run(Gone())
        detail = await found.invocations.get(outcome.id)
    assert isinstance(detail, InvocationDetail)
    text = capture(Registry([gone], []), detail, [], None)
    assert "with pytest.raises(Cancel):" in text
    assert "from runtime import Cancel\n" in text


async def test_a_redacted_run_holds_no_personal_data_and_still_agrees(
    settings: Settings, tmp_path: Path
) -> None:
    secret = "Ana Gómez, ana@tienda.example, +54 9 341 555-0100 wrote this long sentence"
    async with working(settings, [errand, hello]) as found:
        outcome = await found.run(Errand(what=secret))
        text = await captured(found, outcome.id, redact=True)
    for personal in ("Ana", "Gómez", "tienda.example", "555"):
        assert personal not in text
    assert "placeholders" in text
    done = run(text, tmp_path)
    assert done.returncode == 0, done.stdout + text


def test_the_same_thing_has_the_same_placeholder_everywhere() -> None:
    redactor = Redactor()
    event = {
        "phone": "+5493415550100",
        "name": "Ana",
        "sent_at": "2026-11-25T10:00:00Z",
        "amount": 129900.5,
        "kind": "order",
        "contact": {"wa_id": 5493415550100, "emails": ["ana@tienda.example"]},
        "api_token": "abc",
    }
    redactor.learn(event)
    assert redactor.redact(event) == {
        "phone": "+10000000001",
        "name": "text-1",
        "sent_at": "2026-11-25T10:00:00Z",
        "amount": 129900.5,
        "kind": "order",
        "contact": {"wa_id": 10000000002, "emails": ["person-1@example.com"]},
        "api_token": "secret-1",
    }
    said = "Hola Ana (+5493415550100)"
    assert redactor.redact(said) == "Hola text-1 (+10000000001)"
    assert redactor.redact("call 0341 555-0199") == "call 10000000003"
    assert redactor.redact(redactor.redact(said)) == redactor.redact(said)
