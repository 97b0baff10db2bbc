"""An environment of its own for each contender, made once under the state folder.

A contender's file says what it needs in its first lines (PEP 723). The folder is named by what is
in it, so that another version makes another environment.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

CONTENDERS = Path(__file__).parent / "contenders"
BLOCK = re.compile(r"^# /// script\n((?:#.*\n)+?)# ///$", re.MULTILINE)


class NotInstalled(Exception):
    """A contender cannot be had here; the text says why."""


def requirements(name: str) -> list[str]:
    """Return what a contender pins; none: it runs in our own environment."""
    found = BLOCK.search((CONTENDERS / f"{name}.py").read_text(encoding="utf-8"))
    if found is None:
        return []
    lines = [line.removeprefix("#").removeprefix(" ") for line in found[1].splitlines()]
    return list(tomllib.loads("\n".join(lines))["dependencies"])


def python_of(name: str, folder: Path) -> str:
    """Return the Python of a contender's environment, made first where it is not there.

    Safe to be killed in the middle: an environment counts once its mark is written, at the end.

    Raises:
        NotInstalled: with the last words of the installer.
    """
    needed = requirements(name)
    if not needed:
        return sys.executable
    digest = hashlib.sha256("\n".join([sys.version, *sorted(needed)]).encode()).hexdigest()[:12]
    place = folder.absolute() / digest
    python = str(place / "bin" / "python")
    if (place / "complete").exists():
        return python
    print(f"  making the environment of {name} (once)", file=sys.stderr, flush=True)
    shutil.rmtree(place, ignore_errors=True)
    if uv := shutil.which("uv"):
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(place)])
        _run([uv, "pip", "install", "--quiet", "--python", python, *needed])
    else:
        _run([sys.executable, "-m", "venv", str(place)])
        _run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *needed])
    (place / "complete").write_text("\n".join(needed) + "\n")
    return python


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise NotInstalled(done.stdout.strip()[-400:])
