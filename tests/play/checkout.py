"""What a platform has of us: a clone, or the image's folder; and what its build step makes."""

import fnmatch
import os
import shutil
import subprocess
import time
from pathlib import Path

from runtime.host.layout import HOME
from tests.play.boxes import STAGE, USER, Box, NoBoxes, mount
from tests.play.deployment import Deployment

INDEX = ("PIP_", "UV_", "SSL_CERT", "HTTP_PROXY", "HTTPS_PROXY")
"""How this machine reaches its package index."""
BUILD_SECONDS = 600
USED = """
import gateway.cli.up, gateway.cli.edge, gateway.cli.migrate, gateway.server, runtime.worker
from runtime.registry import load_registry
load_registry()
"""


def files() -> list[str]:
    """Return the paths of a clone, as they are in the working tree."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard"],
        cwd=HOME,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for path in listed.stdout.splitlines() if (HOME / path).is_file()]


def ignored(path: str, rules: list[str]) -> bool:
    """Say whether .dockerignore keeps a path out: the last rule that matches decides.

    >>> rules = ["*", "!gateway", "**/__pycache__"]
    >>> ignored(".env", rules), ignored("gateway/a.py", rules)
    (True, False)
    >>> ignored("gateway/__pycache__/a.pyc", rules)
    True
    """
    parts = path.split("/")
    ways = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    found = False
    for rule in rules:
        pattern = rule.removeprefix("!").strip("/")
        name = pattern.removeprefix("**/")
        anywhere = name != pattern and any(fnmatch.fnmatchcase(part, name) for part in parts)
        if anywhere or any(_matches(way, pattern) for way in ways):
            found = not rule.startswith("!")
    return found


def _matches(path: str, pattern: str) -> bool:
    """Match folder by folder: `*` does not cross a slash."""
    ours, theirs = path.split("/"), pattern.split("/")
    return len(ours) == len(theirs) and all(map(fnmatch.fnmatchcase, ours, theirs))


def docker_rules() -> list[str]:
    """Return the rules of .dockerignore."""
    lines = (HOME / ".dockerignore").read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def copied(*, image: bool) -> Path:
    """Copy what the platform gets, and return where it is."""
    folder = STAGE / "checkout"
    rules = docker_rules() if image else []
    for path in files():
        if not ignored(path, rules):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(HOME / path, target)
    return folder


def build(checkout: Path, deployment: Deployment) -> float:
    """Run the platform's build step with nothing in its caches; return the seconds it took."""
    for path in (checkout, *checkout.rglob("*")):
        os.chown(path, USER, USER)
    began = time.monotonic()
    box = Box("build", deployment.home, checkout, {}, building=True)
    index = {name: os.environ[name] for name in os.environ if name.startswith(INDEX)}
    for line in deployment.build:
        log = STAGE / "build.log"
        words = ["/bin/sh", "-c", line]
        if box.start(words, {**index, "HOME": "/tmp"}, log).wait(BUILD_SECONDS):
            raise NoBoxes(f"{line}: {log.read_text()[-2000:]}")
    return time.monotonic() - began


def borrow_packages(checkout: Path, home: str) -> None:
    """Stand in for the build step: this checkout's packages, stamped as installed there."""
    ours = HOME / ".venv"
    if not (ours / ".nexus-embedded").exists():
        raise NoBoxes("run ./nexus install first")
    there = checkout / ".venv"
    layer = STAGE / "packages"
    for folder in (there, layer / "written", layer / "work"):
        folder.mkdir(parents=True)
    layers = f"lowerdir={ours},upperdir={layer / 'written'},workdir={layer / 'work'}"
    mount("-t", "overlay", "-o", layers, "overlay", str(there))
    pinned = sorted(checkout.glob("requirements*.txt"))
    text = b"".join(each.read_bytes() for each in [*pinned, checkout / "scripts/bootstrap.py"])
    counted = subprocess.run(["cksum"], input=text, capture_output=True, check=True)
    for part in ("core", "embedded"):
        (there / f".nexus-{part}").write_text(f"{counted.stdout.decode().strip()} {home}\n")
    compile_what_is_used(checkout)
    mount("-o", "remount,ro", str(there))


def compile_what_is_used(checkout: Path) -> None:
    """Compile once what each of a form's processes would compile for itself, as images do."""
    subprocess.run(
        [checkout / ".venv/bin/python", "-c", USED],
        cwd=checkout,
        env={"PYTHONPATH": str(checkout)},
        check=True,
    )
