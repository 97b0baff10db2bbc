"""Embedded Valkey: rings bells. It remembers nothing, since a lost bell does no harm."""

from dataclasses import dataclass
from pathlib import Path

from runtime.host.binaries import valkey
from runtime.host.layout import write_whole
from runtime.host.ports import LOOPBACK
from runtime.host.probes import answers_ping
from runtime.host.program import Program


@dataclass(frozen=True)
class Valkey:
    """A Valkey of our own in one folder."""

    folder: Path
    port: int
    password: str

    @property
    def url(self) -> str:
        """Its address, with the password."""
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/0"

    def prepare(self) -> None:
        """Write its configuration: a file, so that the password is in no process list."""
        lines = {
            "bind": LOOPBACK,
            "port": self.port,
            "requirepass": self.password,
            "dir": ".",  # it is started there; a path with a space would need quoting
            "save": '""',
            "appendonly": "no",
            "maxmemory": "64mb",
            "maxmemory-policy": "noeviction",
            "databases": 16,
        }
        text = "".join(f"{name} {value}\n" for name, value in lines.items())
        write_whole(self.folder / "valkey.conf", text)

    def program(self) -> Program:
        """Return the server as a program."""
        return Program(
            "redis",
            (str(valkey()), str(self.folder / "valkey.conf")),
            {"PATH": "/usr/bin:/bin", "HOME": str(self.folder)},
            ready=answers_ping(self.port, self.password),
            stop_seconds=5,
            directory=str(self.folder),
        )
