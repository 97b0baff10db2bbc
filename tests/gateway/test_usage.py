"""What commands answer to what was typed wrongly: 2; to what is not there: 1; as JSON if asked."""

import json
import os
from pathlib import Path

import pytest

from gateway.cli.main import main

KEY = "bm90LWEtc2VjcmV0LWp1c3QtZm9yLXRlc3RzLTAxMjM="
OTHER = "cm90YXRlLW1lLW5vdy1wbGVhc2UtMDEyMzQ1Njc4OTA="


@pytest.fixture(scope="module")
def home(module_database_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An installation with a shop, a log, and two keys."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "logs").mkdir()
    (folder / "logs" / "gateway.log").write_text("{}\n")
    environ = {
        "NEXUS_HOME": str(folder),
        "NEXUS_STATE_DIR": str(folder),
        "POSTGRES_DSN": module_database_dsn,
        "ENCRYPTION_KEY": f"first:{KEY},second:{OTHER}",
    }
    assert main(["shops", "add", "pampa"], environ) == 0
    return environ


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("keys retire", "nexus keys retire KEY_ID"),
        ("keys status first", "nexus keys retire KEY_ID"),
        ("channels stop", "which channel?"),
        ("domains add", "a domain is missing"),
        ("domains remove", "a domain is missing"),
        ("domains add https://a.example/x --shop pampa", "the name alone: a.example"),
        ("shops add Bad!Name", "small letters, digits and hyphens"),
        ("chat --shop pampas", "did you mean 'pampa'?"),
        ("invocations --shop pampas", "did you mean 'pampa'?"),
        ("knowledge add /nowhere.md --shop pampa", "/nowhere.md: No such file"),
        ("catalogue import --shop pampa", "which file?"),
        ("apps add meta --secret-file /nowhere", "/nowhere: No such file"),
        ("restore /nowhere.backup", "/nowhere.backup: No such file"),
        ("oddities show", "which oddity?"),
        ("agents set --shop pampa", "nothing to set"),
        ("work hello --except greet", "not both"),
        ("logs gatewy", "did you mean 'gateway'?; there are: gateway"),
        ("logs nosuch", "there are: gateway"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_one_line_that_helps(
    home: dict[str, str], capsys: pytest.CaptureFixture[str], typed: str, says: str
) -> None:
    assert main(typed.split(), home) == 2
    printed = capsys.readouterr()
    assert says in printed.err
    assert len(printed.err.splitlines()) == 1
    assert printed.out == ""


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("keys retire third", "the ring has no key 'third'"),
        ("channels stop 999 --shop pampa", "pampa has no channel 999"),
        ("channels resume 999 --shop pampa", "pampa has no channel 999"),
        ("oddities show 999", "there is no oddity 999"),
        ("invocation inv_0000000000zzz", "there is no invocation"),
    ],
)
def test_what_is_not_there_is_exit_code_1(
    home: dict[str, str], capsys: pytest.CaptureFixture[str], typed: str, says: str
) -> None:
    assert main(typed.split(), home) == 1
    assert says in capsys.readouterr().err


def test_json_is_printed_whatever_was_done(
    home: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def said(typed: str, code: int, **more: str) -> object:
        capsys.readouterr()
        assert main([*typed.split(), "--json"], {**home, **more}) == code
        found: object = json.loads(capsys.readouterr().out)
        return found

    gone = {"name": "meta", "removed": False}
    assert said("apps remove meta", 1) == gone
    gone = {"name": "a.md", "removed": False}
    assert said("knowledge remove a.md --shop pampa", 1) == [gone]
    rebuilding = said("knowledge rebuild --shop pampa", 0)
    assert isinstance(rebuilding, dict)
    assert rebuilding["invocation"].startswith("inv_")
    would = {"key": "second", "retired": False, "credentials": 0, "backups": []}
    assert said("keys retire second --dry-run", 0) == would
    assert said("keys retire second", 0) == {**would, "retired": True}

    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "encryption_key").write_text(KEY)
    (secrets / "encryption_key").chmod(0o600)
    made = said("keys new --install", 0, NEXUS_STATE_DIR=str(tmp_path))
    assert isinstance(made, dict)
    assert made["installed"] is True
    assert (secrets / "encryption_key").read_text().startswith(f"{made['key']}:")


def test_help_after_the_name_of_a_bench_reaches_that_bench(
    home: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "growth", "--help"], {**os.environ, **home}) == 0
    assert "usage: nexus bench growth" in capfd.readouterr().out
    assert main(["bench", "--help"], home) == 0
    assert "Run a bench" in capfd.readouterr().out
