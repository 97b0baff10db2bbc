"""The state folder: what lies where, and who may look at it (only its owner)."""

import os
from dataclasses import dataclass
from pathlib import Path

from runtime.host.errors import HostFault

HOME = Path(__file__).resolve().parents[2]
"""The checkout. A relative state folder is meant from here, wherever the command is typed."""


@dataclass(frozen=True)
class Layout:
    """The folders below `NEXUS_STATE_DIR`."""

    root: Path

    @classmethod
    def at(cls, state_dir: Path) -> "Layout":
        """Return the layout of a state folder, which need not exist."""
        return cls((HOME / state_dir).resolve())

    def folder(self, name: str) -> Path:
        """Return a folder of the state folder; make it, closed to others.

        Raises:
            HostFault: it cannot be made.
        """
        path = self.root / name
        try:
            # Root lets others pass through (not look): Postgres runs as another account.
            self.root.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
            path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise HostFault(f"cannot make {path}: {error.strerror}; set NEXUS_STATE_DIR") from None
        return path

    @property
    def run(self) -> Path:
        """Where processes tell each other who runs."""
        return self.folder("run")

    @property
    def logs(self) -> Path:
        """Where programs' output is kept."""
        return self.folder("logs")


def write_whole(path: Path, text: str, *, durable: bool = True) -> None:
    """Replace a file in one step, readable by its owner only: never half of it is seen.

    Args:
        path: of the file.
        text: its new content.
        durable: it has to outlive a power cut; what describes running processes need not.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    beside.replace(path)
