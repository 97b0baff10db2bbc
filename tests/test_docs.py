"""What the documents say is so."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

from gateway.cli.main import COMMANDS

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
