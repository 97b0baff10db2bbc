"""`scripts/bootstrap.py`: tried on a checkout whose requirements are empty, so it is quick."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.host.layout import HOME
from tests.stacks import clean_environment


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return new_checkout(tmp_path)


def new_checkout(folder: Path) -> Path:
    """A checkout with nothing to install, whose command line only says which Python it runs in."""
    home = folder / "check out"
    (home / "scripts").mkdir(parents=True)
    (home / "gateway" / "cli").mkdir(parents=True)
    shutil.copy(HOME / "nexus", home)
    shutil.copy(HOME / "scripts" / "bootstrap.py", home / "scripts")
    for name in ("requirements.txt", "requirements-embedded.txt", "requirements-dev.txt"):
        (home / name).write_text("# nothing\n")
    (home / "gateway" / "__init__.py").touch()
    (home / "gateway" / "cli" / "__init__.py").touch()
    (home / "gateway" / "cli" / "__main__.py").write_text("import sys; print(sys.prefix)")
    return home


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose environment is made; the slow part, so it is done once."""
    home = new_checkout(tmp_path_factory.mktemp("made"))
    assert nexus(home, "status").returncode == 0
    return home


@pytest.fixture
def used(made: Path, tmp_path: Path) -> Path:
    """A copy of that checkout, as if it had been moved."""
    return shutil.copytree(made, tmp_path / "moved", symlinks=True)


def environment(**more: str) -> dict[str, str]:
    return {**clean_environment(), "NEXUS_PYTHON": sys.executable, **more}


def nexus(home: Path, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [home / "nexus", *arguments],
        cwd="/",
        env=environment(**more),
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_installs_once_and_again_when_something_changed(used: Path) -> None:
    moved = nexus(used, "up")
    assert moved.stdout.strip() == str(used / ".venv"), moved.stderr
    assert "installing core and embedded" in moved.stderr
    assert nexus(used, "up").stderr == ""
    assert "installing dev" in nexus(used, "test").stderr
    (used / "requirements.txt").write_text("# something else\n")
    assert "installing core" in nexus(used, "status").stderr


def test_two_first_starts_at_once_do_not_disturb_each_other(checkout: Path) -> None:
    both = [
        subprocess.Popen([checkout / "nexus", "status"], env=environment(), stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    said = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum(b"installing" in each for each in said) == 1


def test_a_half_made_environment_is_made_anew(checkout: Path) -> None:
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
    (checkout / ".venv" / "bin" / "python").chmod(0o755)
    done = nexus(checkout, "status")
    assert done.stdout.strip() == str(checkout / ".venv"), done.stderr


def test_servers_from_outside_need_no_embedded_ones(used: Path) -> None:
    given = {"POSTGRES_DSN": "x", "REDIS_URL": "x", "CHROMA_URL": "x"}
    nexus(used, "serve", **given)
    assert (used / ".venv" / ".nexus-core").exists()
    assert not (used / ".venv" / ".nexus-embedded").exists()


def test_what_cannot_be_found_is_said_in_one_line(used: Path) -> None:
    (used / "requirements.txt").write_text(f"nexus-no-such-package==1.0 --hash=sha256:{'0' * 64}\n")
    no_network = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "UV_INDEX_URL": "http://127.0.0.1:9/"}
    no_network |= {"PIP_RETRIES": "0", "PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1"}
    done = nexus(used, "status", **no_network)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("nexus: the package index cannot be reached")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_checkout_of_somebody_else_is_refused(checkout: Path) -> None:
    checkout.chmod(0o555)
    done = nexus(checkout, "status")
    assert done.returncode == 1
    assert "no permission to write" in done.stderr


def test_an_old_python_is_named(used: Path, tmp_path: Path) -> None:
    old = tmp_path / "bin"
    old.mkdir()
    for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14", "python"):
        (old / name).write_text(
            '#!/bin/sh\n[ "$1" = -V ] && echo "Python 3.9.2" && exit 0\nexit 1\n'
        )
        (old / name).chmod(0o755)
    for name in ("sh", "dirname", "readlink", "cat", "cksum"):
        (old / name).symlink_to(shutil.which(name) or "/bin/sh")
    done = nexus(used, "status", PATH=str(old), NEXUS_PYTHON="")
    assert done.returncode == 1
    assert "Python 3.11 to 3.14 is needed, found Python 3.9.2" in done.stderr
