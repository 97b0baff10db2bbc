"""Ports: the wanted one when it is free, else another; the same again at the next start.

And socket files, which need none: one host's processes reach each other with less work there.
"""

import errno
import json
import socket
import stat
from pathlib import Path

from runtime.host.layout import HOME, Layout, write_whole

LOOPBACK = "127.0.0.1"
SOCKET_FILE = "unix/"
"""Before the path of a socket file where an address may be one, as Caddy writes it."""
PATH_LIMIT_BYTES = 100
"""The kernel takes 107 for a socket file, macOS 103."""
SPECIAL_TO_CADDY = frozenset("`{}\n")
"""In a path it would end the word, or be filled in."""
ANSWER_SECONDS = 1.0
BACKLOG = 4096
"""Callers that wait while a process is started again; Linux allows no more if it is not told to."""


def listening(port: int, host: str = LOOPBACK, backlog: int = BACKLOG) -> socket.socket | None:
    """Return a listening socket on that port (0: any), or None when somebody has it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        made = socket.socket(family, socket.SOCK_STREAM)
    except OSError:  # no such family on this machine
        return None
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if host == "::":  # every address, of both families
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        made.bind((host, port))
        made.listen(backlog)
    except OSError:
        made.close()
        return None
    return made


def socket_file(address: str) -> Path | None:
    """Return the file of an address `unix/PATH`; None: the address is no file.

    Like the state folder, a relative path is meant from the checkout.

    >>> socket_file("unix//run/gateway.sock"), socket_file("127.0.0.1:8000")
    (PosixPath('/run/gateway.sock'), None)
    """
    found = address.startswith(SOCKET_FILE)
    return HOME / address.removeprefix(SOCKET_FILE) if found else None


def listening_at(path: Path, backlog: int = BACKLOG) -> socket.socket | None:
    """Return a socket listening at a file that its owner alone can open, or None: it cannot be.

    The file of a socket that nobody listens at any more is replaced; any other file stays.
    """
    if len(bytes(path)) > PATH_LIMIT_BYTES or SPECIAL_TO_CADDY & set(str(path)):
        return None
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _left_behind(path):
            path.unlink()
        made.bind(str(path))
        path.chmod(0o600)  # nobody gets in before it listens
        made.listen(backlog)
    except OSError:
        made.close()
        return None
    return made


def _left_behind(path: Path) -> bool:
    """Say whether this is the file of a socket at which nobody listens."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return False
    except FileNotFoundError:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(ANSWER_SECONDS)
        return asking.connect_ex(str(path)) == errno.ECONNREFUSED


def is_free(port: int) -> bool:
    """Say whether nobody listens on that port, on loopback or on every address."""
    hosts = [LOOPBACK, "0.0.0.0"]  # noqa: S104 - closed again at once
    if has_ipv6():
        hosts.append("::1")
    for host in hosts:
        found = listening(port, host)
        if found is None:
            return False
        found.close()
    return True


def has_ipv6() -> bool:
    """Say whether this machine has the newer loopback address."""
    found = listening(0, "::1")
    if found is not None:
        found.close()
    return found is not None


class Ports:
    """The ports of one installation, remembered so that addresses survive a restart."""

    def __init__(self, layout: Layout) -> None:
        self._path: Path = layout.run / "ports.json"
        try:
            self._known: dict[str, int] = json.loads(self._path.read_text())
        except (OSError, ValueError):
            self._known = {}
        self._given: set[int] = set()

    def choose(self, name: str, wanted: int | None = None) -> int:
        """Return a free port: the wanted one, else the last one, else any."""
        for port in (wanted, self._known.get(name)):
            if port and port not in self._given and is_free(port):
                return self._remember(name, port)
        while True:
            found = listening(0)
            if found is None:
                raise OSError("no free port on this machine")
            port = int(found.getsockname()[1])
            found.close()
            if port not in self._given:
                return self._remember(name, port)

    def _remember(self, name: str, port: int) -> int:
        self._given.add(port)
        self._known[name] = port
        write_whole(self._path, json.dumps(self._known))
        return port
