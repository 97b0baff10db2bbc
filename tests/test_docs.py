"""What the documents say is so."""

import argparse
import importlib
import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

from gateway.cli.command import Command
from gateway.cli.main import COMMANDS
from runtime.host.caddy import TUNED
from runtime.settings import Settings
from tests.play.__main__ import FORMS

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
DOCUMENTS += sorted((ROOT / "docs").rglob("*.md"))


def test_the_table_of_settings_is_the_one_of_the_code() -> None:
    path = ROOT / "scripts" / "settings_table.py"
    spec = importlib.util.spec_from_file_location("settings_table", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = (ROOT / "docs" / "settings.md").read_text()
    assert text == module.with_table(text), "run scripts/settings_table.py"


def test_every_direct_dependency_says_why_it_is_here() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    declared = [one for group in groups for one in group]
    names = {re.split(r"[<>=!~ \[]", one)[0] for one in declared}
    text = (ROOT / "docs" / "dependencies.md").read_text()
    told = set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))
    assert told == names


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_commands_lead_somewhere(document: Path) -> None:
    text = document.read_text()
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in target:
            assert (document.parent / target).exists(), target
    for command in re.findall(r"\./nexus ([a-z]+)", text):
        assert command in COMMANDS, command


def named_tests() -> set[str]:
    files = (ROOT / "tests").rglob("test_*.py")
    texts = (file.read_text() for file in files)
    return {
        name for text in texts for name in re.findall(r"^(?:async )?def (test_\w+)", text, re.M)
    }


def options_of(name: str) -> set[str]:
    command: Command = importlib.import_module(f"gateway.cli.{name}").COMMAND
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return {option for action in parser._actions for option in action.option_strings}


def wrong(named: str, tests: set[str]) -> str | None:
    """Say what is wrong with something that a page names; None: nothing, or it is only a word."""
    words = named.split()
    if words[0] == "./nexus":
        unknown = {word for word in words if word.startswith("--")} - options_of(words[1])
        return f"{named}: no {unknown}" if unknown else None
    if words[0] == "scripts/play":
        return None if words[1] in FORMS else named
    if named.startswith("test_"):
        return None if named in tests else f"no test {named}"
    if re.fullmatch(r"[A-Z]+_[A-Z0-9_]+", named):
        known = {field.alias for field in Settings.model_fields.values()} | set(TUNED)
        return None if named in known else f"no setting {named}"
    if re.fullmatch(r"[a-z][\w.-]*(/[\w.-]+)+|Caddyfile|Procfile", named):
        return None if (ROOT / named).exists() else f"no file {named}"
    return None


@pytest.mark.parametrize(
    ("page", "first"), [("from-v3.md", 1), ("security.md", 0), ("operate.md", 0)]
)
def test_what_a_table_names_exists(page: str, first: int) -> None:
    """In from-v3.md the first column is about the original."""
    tests = named_tests()
    lines = (ROOT / "docs" / page).read_text().splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    assert len(rows) > 10
    named = [one for row in rows for cell in row[first:] for one in re.findall("`([^`]+)`", cell)]
    assert [said for one in named if (said := wrong(one, tests))] == []


def test_every_row_about_the_original_can_be_seen_or_says_that_it_is_not_there() -> None:
    for line in (ROOT / "docs" / "from-v3.md").read_text().splitlines():
        if line.startswith("| "):
            cells = line.strip("|").split(" | ")
            assert len(cells) == 3, line
            assert "`" in cells[2] or "*not in this version*" in cells[1] or "See it" in cells[2]


def test_every_control_has_a_test() -> None:
    for line in (ROOT / "docs" / "security.md").read_text().splitlines():
        if line.startswith("| ") and not line.startswith("| Threat"):
            assert "`test_" in line.split(" | ")[2], line
