"""A back-up while everything runs, and the same shop on a fresh machine."""

import json
import shutil
import sqlite3
import subprocess
import zipfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.stacks import RunningStack, clean_environment, running_stack

SECRET = "app-secret-of-meta"
ASKED = "¿tenés campera inflable?"


@dataclass
class Made:
    """A back-up of a stack that has stopped since."""

    file: Path
    old: RunningStack
    refused: "subprocess.CompletedProcess[str]"
    """An attempt to restore while it ran."""


@pytest.fixture(scope="module")
def made(servers_folder: Path) -> Made:
    folder = servers_folder / "backups"
    folder.mkdir()
    with running_stack(folder / "old") as stack:
        stack.wait_ready()
        subprocess.run(
            [*stack.command, "chat"],
            cwd=stack.home,
            env={**stack.environment},
            input=f"{ASKED}\n",
            capture_output=True,
            text=True,
            timeout=90,
            check=True,
        )
        (folder / "secret").write_text(SECRET)
        stack.run("apps", "add", "meta", "--secret-file", str(folder / "secret"))
        session = stack.state / "whatsapp_sessions" / "341.db"
        session.parent.mkdir()
        with closing(open_session(session)) as linked:  # somebody has it open meanwhile
            linked.execute("CREATE TABLE device (id text)")
            linked.execute("INSERT INTO device VALUES ('phone')")
            linked.commit()
            done = stack.run("backup", str(folder / "a.backup"), "--json")
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert (said["shops"], said["messages"], said["files"]) == (1, 2, 1)
        refused = stack.run("restore", str(folder / "a.backup"), "--replace")
    return Made(folder / "a.backup", stack, refused)


def open_session(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = wal")
    return connection


def nexus(made: Made, state: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*made.old.command, *arguments],
        cwd=made.old.home,
        env={
            **clean_environment(),
            "PYTHONPATH": str(made.old.home),
            "NEXUS_STATE_DIR": str(state),
        },
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_a_running_installation_is_not_replaced(made: Made) -> None:
    assert made.refused.returncode == 1
    assert "stop it" in made.refused.stderr


def test_no_secret_is_in_the_file(made: Made) -> None:
    key = (made.old.state / "secrets" / "encryption_key").read_bytes().strip()
    with zipfile.ZipFile(made.file) as zipped:
        whole = b"".join(zipped.read(name) for name in zipped.namelist())
    assert ASKED.encode() in whole
    for secret in (SECRET.encode(), SECRET.encode().hex().encode(), key):
        assert secret not in whole


def test_a_dry_run_tells_what_it_holds_and_changes_nothing(made: Made) -> None:
    state = made.file.parent / "untouched"
    said = nexus(made, state, "restore", str(made.file), "--dry-run")
    assert said.returncode == 0, said.stderr
    assert "messages: 2" in said.stdout
    assert "Nothing was changed" in said.stdout
    assert said.stdout.count("It holds") == 1
    assert "Keys are missing here" in said.stdout
    assert not state.exists()


def test_the_shop_lives_on_on_a_fresh_machine(made: Made) -> None:
    state = made.file.parent / "new"
    done = nexus(made, state, "restore", str(made.file), "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["missing_keys"]) == 1
    shutil.copy(made.old.state / "secrets" / "encryption_key", state / "secrets")
    again = nexus(made, state, "restore", str(made.file))
    assert again.returncode == 1
    assert "shops: 1 (demo)" in again.stderr

    with running_stack(state) as stack:
        stack.wait_ready()
        (listed,) = json.loads(stack.run("conversations", "--json").stdout)
        assert ASKED in stack.run("conversation", listed["id"]).stdout
        verified = stack.run("keys", "verify")
        assert "2 of 2 credentials open" in verified.stdout, verified.stdout
    with closing(sqlite3.connect(state / "whatsapp_sessions" / "341.db")) as linked:
        assert linked.execute("SELECT id FROM device").fetchall() == [("phone",)]


def test_what_is_no_backup_is_refused_in_one_line(made: Made, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("no zip")
    for arguments, code, said in (
        (["restore", str(tmp_path / "x")], 1, "no whole back-up"),
        (["restore", str(tmp_path / "none")], 2, "No such file"),
        (["restore", str(made.file), "--stopped-at", "soon"], 2, "is no time like"),
        (["restore", str(made.file), "--stopped-at", "2999-01-01"], 2, "in the future"),
        (["backup", str(tmp_path / "none" / "a")], 1, "No such file"),
    ):
        done = nexus(made, tmp_path / "state", *arguments)
        assert done.returncode == code, (arguments, done.stdout)
        assert said in done.stderr, done.stderr
        assert len(done.stderr.splitlines()) == 1
