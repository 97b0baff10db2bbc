"""A stand-in for a container engine: a root folder of its own for each service, one network.

A box is this machine's file system under an overlay, so that whatever is written is seen and
forgotten; the checkout, the volumes and a fresh /tmp are mounted into it. The command runs there
as an ordinary user without capabilities, with exactly the variables it was given.

All of it lives in namespaces of the play itself: it has a loopback and no other network, and it
ends, with every process in it, when the play ends. That needs root and Linux.
"""

import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

STAGE = Path("/mnt")
"""Covered by a memory file system that nobody else sees."""
USER, HOME_OF_USER = 10001, "/data"
CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, UP_AND_RUNNING = 0x8914, 0x41
NEEDED = ("unshare", "mount", "chroot", "setpriv")


class NoBoxes(Exception):
    """This machine does not let us make boxes; the text says why."""


def why_not() -> str | None:
    """Return why there can be no boxes here; None: there can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "boxes need Linux, and root"
    if missing := [name for name in NEEDED if shutil.which(name) is None]:
        return f"not installed: {', '.join(missing)}"
    tried = subprocess.run(
        [*apart(), "mount", "-t", "tmpfs", "tmpfs", str(STAGE)], capture_output=True, check=False
    )
    return tried.stderr.decode().strip() if tried.returncode else None


def apart() -> list[str]:
    """Return the words before a command that is to run in namespaces of its own."""
    return [
        "unshare",
        *("--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
        *("--propagation", "private", "--"),
    ]


def mount(*words: str) -> None:
    """Mount something, or say what mount says."""
    done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoBoxes(done.stderr.strip())


def set_stage() -> None:
    """Give the play a place for boxes."""
    mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(STAGE))


def leave_the_network() -> None:
    """From now on there is a loopback, and nothing else. Threads must not have been started."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        raise NoBoxes(os.strerror(ctypes.get_errno()))
    with socket.socket() as one:
        fcntl.ioctl(one, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", UP_AND_RUNNING))


class Box:
    """The file system that one service sees."""

    def __init__(
        self,
        name: str,
        home: str,
        checkout: Path,
        volumes: Mapping[str, Path],
        *,
        resolver: str | None = None,
        read_only: bool = False,
        building: bool = False,
    ) -> None:
        """Furnish it.

        Args:
            name: of the service.
            home: where it finds the checkout.
            checkout: where the checkout is.
            volumes: folders in the box, and what is mounted there.
            resolver: address of the name server; None: the machine's own.
            read_only: nothing but volumes, /tmp and /run can be written.
            building: the checkout can be written too.
        """
        self.home = home
        self.folder = STAGE / "boxes" / name
        self.root = self.folder / "root"
        self.written = self.folder / "written"
        for each in (self.root, self.written, self.folder / "work"):
            each.mkdir(parents=True)
        layers = f"lowerdir=/,upperdir={self.written},workdir={self.folder / 'work'}"
        mount("-t", "overlay", "-o", layers, "overlay", str(self.root))
        self._furnish(resolver)
        places: dict[str, Path | None] = {"/tmp": None, "/run": None, home: checkout, **volumes}
        for place, source in sorted(places.items()):  # a folder before what is mounted inside it
            self._inside(place).mkdir(parents=True, exist_ok=True)
            target = str(self._inside(place))
            if source is None:
                mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", target)
            else:
                mount("--rbind", str(source), target)
        if not building:
            mount("-o", "remount,bind,ro", str(self._inside(home)))
        for system in ("proc", "dev"):
            mount("--rbind", f"/{system}", str(self.root / system))
        self._before = self._files()
        if read_only:
            mount("-o", "remount,bind,ro", str(self.root))

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> "subprocess.Popen[bytes]":
        """Start a command as the box's user; what it prints goes into a file."""
        with log.open("ab") as output:
            return subprocess.Popen(
                [
                    *(
                        str(shutil.which("chroot")),
                        str(self.root),
                        "setpriv",
                        f"--reuid={USER}",
                        f"--regid={USER}",
                    ),
                    *("--clear-groups", "--no-new-privs", "--bounding-set=-all"),
                    *("--inh-caps=-all", "env", f"--chdir={self.home}", *command),
                ],
                env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": HOME_OF_USER, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def strays(self) -> list[str]:
        """Return files that were written outside of volumes, /tmp and /run."""
        return sorted(self._files() - self._before)

    def _inside(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def _files(self) -> set[str]:
        return {
            str(path.relative_to(self.written))
            for path in self.written.rglob("*")
            if not path.is_dir()
        }

    def _furnish(self, resolver: str | None) -> None:
        """Add the user and the resolver; open the way to this machine's Python."""
        accounts = self.root / "etc/passwd"
        line = f"nexus:x:{USER}:{USER}::{HOME_OF_USER}:/usr/sbin/nologin\n"
        accounts.write_text(accounts.read_text() + line)
        groups = self.root / "etc/group"
        groups.write_text(groups.read_text() + f"nexus:x:{USER}:\n")
        if resolver:
            resolv = self.root / "etc/resolv.conf"
            resolv.unlink(missing_ok=True)
            resolv.write_text(f"nameserver {resolver}\n")
        python = Path(sys.base_prefix).resolve()
        for folder in (python, *python.parents[:-1]):
            inside = self._inside(str(folder))
            inside.chmod(inside.stat().st_mode | 0o011)
