"""Every deploy file, played by its platform's rules: real servers, real commands, real stops."""

import doctest
import importlib
import json
import os
import re
import subprocess
import sys

import pytest
import yaml

from runtime.host.caddy import TUNED
from runtime.host.layout import HOME
from runtime.host.procfile import read_procfile
from runtime.settings import EMBEDDED, REQUIRED_IN_PRODUCTION, Settings
from tests.play import render
from tests.play.__main__ import FORMS
from tests.play.boxes import why_not
from tests.play.checkout import docker_rules, ignored
from tests.play.compose import entered
from tests.play.dockerfile import image

PLAYED_ELSEWHERE = {"procfile"}
"""In test_external_form.py; `scripts/play procfile` does it too."""
SYSTEMD = HOME / "deploy/systemd"
KNOWN = {str(field.alias) for field in Settings.model_fields.values()} | set(TUNED)
OF_PLATFORMS = {
    "PYTHON_VERSION",  # Render
    *("PYTHONDONTWRITEBYTECODE",),  # Python
    *("POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD", "REDIS_PASSWORD"),  # their images
}


@pytest.mark.skipif(why_not() is not None, reason=f"no boxes here: {why_not()}")
@pytest.mark.parametrize("form", [form for form in FORMS if form not in PLAYED_ELSEWHERE])
def test_a_form_serves_hides_what_is_private_and_stops_in_its_platforms_time(form: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tests.play", form, "--json"],
        env={**os.environ, "PYTHONPATH": str(HOME)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    for service in json.loads(done.stdout)["services"]:
        assert service["code"] == 0, service
        assert service["stop_seconds"] < service["limit_seconds"], service


@pytest.mark.parametrize("name", ["checkout", "stage", "systemd"])
def test_examples_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"tests.play.{name}")).failed == 0


def variables() -> dict[str, set[str]]:
    """The variables that each form names, over all of its services."""
    found: dict[str, set[str]] = {}
    for form in ("render", "render-split"):
        file = yaml.safe_load((HOME / FORMS[form][0]).read_text())
        listed = [each for each in file["services"] if each["type"] in render.KINDS]
        groups = [*file.get("envVarGroups", []), *listed]
        found[form] = {one["key"] for each in groups for one in each["envVars"] if "key" in one}
    compose = yaml.safe_load((HOME / FORMS["easypanel"][0]).read_text())
    found["easypanel"] = {
        name for each in compose["services"].values() for name in each.get("environment", {})
    } | set(entered(HOME / "deploy/easypanel/env.example"))
    found["docker"] = set(image().environment)
    units = "\n".join(each.read_text() for each in SYSTEMD.rglob("*") if each.is_file())
    found["systemd"] = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", units, re.MULTILINE))
    for line in re.findall(r"^Environment=(.*)$", units, re.MULTILINE):
        found["systemd"] |= {pair.partition("=")[0] for pair in line.split()}
    return found


@pytest.mark.parametrize("form", variables())
def test_a_form_names_only_variables_that_exist(form: str) -> None:
    names = variables()[form]
    assert names <= KNOWN | OF_PLATFORMS, names - KNOWN - OF_PLATFORMS


@pytest.mark.parametrize("form", ["render", "render-split", "easypanel", "systemd"])
def test_a_form_names_every_variable_that_production_needs(form: str) -> None:
    needed = set(REQUIRED_IN_PRODUCTION)
    if "NEXUS_EMBEDDED" in variables()[form]:
        needed -= set(EMBEDDED.values())
    assert needed <= variables()[form], needed - variables()[form]


@pytest.mark.parametrize(
    "path", ["deploy/easypanel/env.example", "deploy/systemd/secrets.env.example"]
)
def test_secrets_of_example_files_are_refused(path: str) -> None:
    text = (HOME / path).read_text()
    for name in ("ENCRYPTION_KEY", "INTERNAL_API_TOKEN", "ADMIN_TOKEN"):
        assert f"\n{name}=replace-me\n" in text, name


def test_the_compose_file_has_the_three_volumes_of_the_original() -> None:
    compose = yaml.safe_load((HOME / "deploy/easypanel/compose.yaml").read_text())
    assert set(compose["volumes"]) == {"postgres_data", "whatsapp_sessions", "orchestrator_data"}


def test_secrets_and_history_do_not_get_into_the_image() -> None:
    rules = docker_rules()
    for path in (".env", "deploy/.env", "functions/.env", ".git/config", ".state/secrets/redis"):
        assert ignored(path, rules), path
    for path in (
        "nexus",
        "functions/hello.py",
        "state/queries/agents.sql",
        "gateway/static/nexus.css",
    ):
        assert not ignored(path, rules), path


@pytest.mark.parametrize("path", ["Dockerfile", "render.yaml", "deploy/render-split/render.yaml"])
def test_packages_come_with_hashes_and_from_no_named_index(path: str) -> None:
    text = (HOME / path).read_text()
    assert "./nexus install" in text
    assert not re.search(r"pip install|uv pip|index-url|npm|curl|wget", text)


def test_the_split_procfile_differs_from_the_other_in_its_workers_alone() -> None:
    whole, split = (read_procfile(HOME / path) for path in ("Procfile", "deploy/Procfile.split"))
    alone = [words[2] for words in split.values() if words[1] == "work" and len(words) == 3]
    assert split["worker"] == [*whole["worker"], "--except", *alone]
    assert {name: words for name, words in split.items() if words[1] != "work"} == {
        name: words for name, words in whole.items() if words[1] != "work"
    }
    assert all(words[2] == name for name, words in split.items() if name in alone)
