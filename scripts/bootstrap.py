"""Make the virtual environment that ./nexus runs in. Standard library only; called by ./nexus.

    bootstrap.py VENV FINGERPRINT PART...      (parts: core, embedded, dev)

Safe to run twice at once (one waits for the other) and after being killed at any moment: a part
counts as installed when its stamp `.nexus-PART` holds the fingerprint, and the stamp is written
last.
"""

import errno
import fcntl
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST_GLIBC = (2, 28)
REQUIREMENTS = {
    "core": "requirements.txt",
    "embedded": "requirements-embedded.txt",
    "dev": "requirements-dev.txt",
}
# What an installer says, and what it means.
MEANINGS = (
    (("No space left on device", "os error 28", "Disk quota exceeded"), "the disk is full"),
    (
        ("name resolution", "lookup address", "onnect", "timed out", "Network is unreachable"),
        "the package index cannot be reached; check the network, or the proxy settings",
    ),
    (
        ("from versions: none", "no version of"),
        "the package index cannot be reached, or has nothing for this Python and this machine",
    ),
    (
        ("HASHES", "hash mismatch", "Hash mismatch"),
        "a package differs from what is pinned: the index or a cache is not to be trusted",
    ),
    (("Permission denied", "os error 13"), "no permission to write there"),
)


class InstallError(Exception):
    """Say in one line what is wrong and what to do."""


def main(venv: Path, fingerprint: str, parts: list[str]) -> None:
    """Bring the environment to the fingerprint, alone."""
    home = venv.parent
    if not os.access(home, os.W_OK):
        raise InstallError(f"no permission to write to {home}; use a checkout of your own")
    lock = os.open(home, os.O_RDONLY)  # the folder itself: no lock file is left behind
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [part for part in parts if not installed(venv, fingerprint, part)]
        if not missing:
            return  # the one we waited for has done it
        if "embedded" in missing:
            check_libc()
        tell(f"installing {' and '.join(missing)} into {venv} (once)")
        if not usable(venv):
            make(venv)
        for part in missing:
            install(venv, home / REQUIREMENTS[part], alone=part == "embedded")
            (venv / f".nexus-{part}").write_text(fingerprint + "\n")
    finally:
        os.close(lock)


def tell(line: str) -> None:
    """Speak to the person, leaving stdout to the command."""
    print(f"nexus: {line}", file=sys.stderr, flush=True)


def installed(venv: Path, fingerprint: str, part: str) -> bool:
    """Say whether this part is there, as pinned."""
    stamp = venv / f".nexus-{part}"
    return usable(venv) and stamp.is_file() and stamp.read_text().strip() == fingerprint


def usable(venv: Path) -> bool:
    """Say whether the environment has a Python that starts, of a version we run on."""
    try:
        return not subprocess.run(
            [
                venv / "bin/python",
                "-Ic",
                "import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))",
            ],
            stderr=subprocess.DEVNULL,
            check=False,
        ).returncode
    except OSError:
        return False


def check_libc() -> None:
    """Refuse systems on which the servers' binaries do not run."""
    if not sys.platform.startswith("linux"):
        return
    name, version = platform.libc_ver()
    wanted = ".".join(map(str, OLDEST_GLIBC))
    remedy = "give POSTGRES_DSN, REDIS_URL and CHROMA_URL, and put caddy into PATH"
    if name != "glibc":
        raise InstallError(f"the embedded servers need glibc, which is not here: {remedy}")
    if tuple(int(number) for number in version.split(".")[:2]) < OLDEST_GLIBC:
        raise InstallError(
            f"glibc {version} is too old for the embedded servers ({wanted}): {remedy}"
        )


def make(venv: Path) -> None:
    """Make the environment anew, with whatever this machine has for it."""
    if venv.exists():
        shutil.rmtree(venv)
    ways = []
    if uv := shutil.which("uv"):
        ways.append([uv, "venv", "--quiet", "--python", sys.executable, str(venv)])
    else:
        ways.append([sys.executable, "-m", "venv", str(venv)])
        if virtualenv := shutil.which("virtualenv"):
            ways.append([virtualenv, "--quiet", "--python", sys.executable, str(venv)])
    output = ""
    for way in ways:
        result = run(way)
        if result.returncode == 0:
            return
        output = result.stdout
        shutil.rmtree(venv, ignore_errors=True)
    if "ensurepip" in output:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise InstallError(f"install python{version}-venv (Debian, Ubuntu) or uv, then try again")
    raise InstallError(meaning(output))


def install(venv: Path, requirements: Path, *, alone: bool) -> None:
    """Install one file of pinned requirements; `alone`: without what they depend on."""
    python = venv / "bin/python"
    if uv := shutil.which("uv"):
        command = [uv, "pip", "install", "--quiet", "--python", str(python)]
    else:
        command = [str(python), "-m", "pip", "install", "--quiet", "--no-compile"]
        command += ["--disable-pip-version-check", "--no-input"]
    command += ["--require-hashes", "-r", str(requirements)]
    result = run([*command, "--no-deps"] if alone else command)
    if result.returncode:
        raise InstallError(meaning(result.stdout))


def run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    """Run an installer; its output is kept for the case that it fails."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=environment,
    )


def meaning(output: str) -> str:
    """Return what an installer's output means: one line, or its last ones when we do not know."""
    for signs, said in MEANINGS:
        if any(sign in output for sign in signs):
            return said
    lines = [line for line in output.splitlines() if line.strip()]
    return "\n  ".join(["cannot install:", *lines[-8:]])


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
    except InstallError as problem:
        tell(str(problem))
        sys.exit(1)
    except OSError as problem:
        full = problem.errno in (errno.ENOSPC, errno.EDQUOT)
        tell("the disk is full" if full else str(problem))
        sys.exit(1)
    except KeyboardInterrupt:
        tell("interrupted; run it again to go on")
        sys.exit(130)
