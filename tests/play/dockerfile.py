"""Docker: the image's folder, user, variables and command, with what `docker run` is told.

No engine is here: the base image is this machine, and the build's `./nexus install` is run by
`--install` or borrowed. What .dockerignore lets through, USER, ENV, VOLUME, STOPSIGNAL and CMD are
the file's own.
"""

import json
import shlex
import signal
from dataclasses import dataclass, field
from pathlib import Path

from runtime.host.layout import HOME
from tests.play.boxes import USER
from tests.play.deployment import SECRETS, Deployment, Service

STOP_SECONDS = 40
"""`docker run --stop-timeout 40`, as the file's first lines say; 10 would be Docker's own."""
GIVEN = {
    "NEXUS_EMBEDDED": "postgres,redis,chroma",
    "API_BASE_URL": "https://api.shop.example",
    **{name: SECRETS[name] for name in ("ENCRYPTION_KEY", "INTERNAL_API_TOKEN", "ADMIN_TOKEN")},
}


@dataclass
class Image:
    """What the last stage of a Dockerfile says about running it."""

    build: list[str] = field(default_factory=list)
    """What its first stage runs."""
    home: str = "/"
    environment: dict[str, str] = field(default_factory=dict)
    volumes: list[str] = field(default_factory=list)
    user: str = "root"
    command: list[str] = field(default_factory=list)
    stop_signal: str = signal.SIGTERM.name


def image(path: Path = HOME / "Dockerfile") -> Image:
    """Read the last stage."""
    found = Image()
    runs: list[str] = []
    for line in path.read_text().replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        match word:
            case "FROM":
                found = Image(build=runs)
            case "RUN" if rest.startswith((".", "/")):  # others furnish the base image
                runs.append(rest)
            case "WORKDIR":
                found.home = rest
            case "ENV":
                found.environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
            case "VOLUME":
                found.volumes.append(rest)
            case "USER":
                found.user = rest
            case "CMD":
                found.command = json.loads(rest)
            case "STOPSIGNAL":
                found.stop_signal = rest
            case _:
                pass
    if found.user != f"{USER}:{USER}":
        raise AssertionError(f"the image runs as {found.user}, not as an ordinary user by number")
    return found


def read(path: Path, form: str) -> Deployment:
    """Say what `docker run --read-only --tmpfs /tmp` with one volume would run."""
    found = image(path)
    service = Service(
        "nexus",
        found.command,
        {**found.environment, **GIVEN},
        volumes={folder: "nexus" for folder in found.volumes},
        read_only=True,
        stop_signal=signal.Signals[found.stop_signal],
        stop_seconds=STOP_SECONDS,
    )
    port = int(found.environment["PORT"])
    return Deployment(
        form,
        found.home,
        [service],
        postgres=False,
        redis=False,
        build=found.build,
        image=True,
        public_port=port,
    )
