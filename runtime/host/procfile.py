"""Read the Procfile: the processes a platform would run, and so the supervisor too."""

import re
import shlex
import sys
from pathlib import Path

from runtime.errors import ConfigurationError

LINE = re.compile(r"([A-Za-z0-9_-]+):\s*(\S.*)")


def read_procfile(path: Path) -> dict[str, list[str]]:
    """Return each process's name and command, in the order of the file.

    Raises:
        ConfigurationError: there is none, or a line is not `name: command`.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    found: dict[str, list[str]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parts = LINE.fullmatch(line.strip())
        if parts is None:
            raise ConfigurationError(f"{path.name}, line {number}: not `name: command`")
        found[parts[1]] = shlex.split(parts[2])
    return found


def direct(command: list[str]) -> list[str]:
    """Replace `./nexus` by what it would become, without the shell in between."""
    if command[:1] == ["./nexus"]:
        return [sys.executable, "-P", "-m", "gateway.cli", *command[1:]]
    return command
