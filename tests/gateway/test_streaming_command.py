"""`nexus invoke NAME --stream`: what is emitted is printed as it comes."""

import asyncio
import json

import pytest

from gateway.cli.main import main
from gateway.cli.streaming import Printer
from runtime.follower import Emitted, Ended, Restarted
from runtime.settings import Settings
from tests.runtime.harness import environment


async def typed(settings: Settings, *arguments: str) -> int:
    environ = environment(settings, "functions,tests.sample")
    return await asyncio.to_thread(main, list(arguments), environ)


async def test_chunks_are_printed_up_to_the_end(
    settings: Settings, worker: None, capsys: pytest.CaptureFixture[str]
) -> None:
    code = await typed(settings, "invoke", "count", "upto=2", "--stream")
    assert (code, capsys.readouterr().out) == (
        0,
        '{"attempt": 1, "number": 1}\n{"attempt": 1, "number": 2}\n',
    )
    await typed(settings, "invoke", "hello", "name=Ana", "--stream")
    assert capsys.readouterr().out == "Hello, Ana!\n"


async def test_json_has_one_document_a_line(
    settings: Settings, worker: None, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = ["upto=1", "fail_first=true", "--stream", "--json"]
    assert await typed(settings, "invoke", "count", *fields) == 0
    *chunks, last = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert chunks[-1] == {"chunk": {"attempt": 2, "number": 1}}
    assert (last["state"], last["result"]) == ("done", "counted to 1")


def test_texts_run_on_and_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    printer = Printer("inv_1", as_json=False)
    for told in (
        Emitted("1.1", '"Bue"'),
        Restarted("2.0"),
        Emitted("2.1", '"Buen"'),
        Emitted("2.2", '"as \\u001b[2J"'),
        Ended("2.2", "done", '"Buenas"', None),
    ):
        printer.show(told)
    said = capsys.readouterr()
    assert said.out == "Bue\nBuenas \ufffd[2J\n"
    assert "begins anew" in said.err


async def test_following_does_not_go_with_leaving(settings: Settings) -> None:
    assert await typed(settings, "invoke", "count", "upto=1", "--stream", "--no-wait") == 2
