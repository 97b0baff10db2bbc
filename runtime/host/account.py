"""Whom Postgres runs as when we are root, and whether that account can reach what it needs."""

import os
import pwd
import stat
from pathlib import Path

from runtime.host.errors import HostFault
from runtime.host.program import Account

CANDIDATES = ("postgres", "nobody")
"""Existing accounts only: nothing is created on the machine, no folder of others is opened."""


def unprivileged(data: Path, needed: tuple[Path, ...]) -> Account | None:
    """Return the account for a server with this data folder; None when we are not root.

    Args:
        data: whoever owns it keeps it; otherwise the first account there is.
        needed: folders the server has to reach.
    """
    if os.geteuid() != 0:
        return None
    entry = _owner(data) or _first()
    ways = {path: _closed_above(path, entry) for path in needed}
    return Account(
        entry.pw_name,
        entry.pw_uid,
        entry.pw_gid,
        closed=tuple(sorted({str(folder) for folder in ways.values() if folder})),
        shown=tuple(str(path) for path, folder in ways.items() if folder),
    )


def _owner(data: Path) -> pwd.struct_passwd | None:
    try:
        user = data.stat().st_uid
        return pwd.getpwuid(user) if user else None
    except (OSError, KeyError):
        return None


def _first() -> pwd.struct_passwd:
    for name in CANDIDATES:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise HostFault(
        "Postgres refuses to run as root, and there is no account postgres or nobody:"
        " give POSTGRES_DSN, or start as an ordinary user"
    )


def _closed_above(path: Path, entry: pwd.struct_passwd) -> Path | None:
    """Return the uppermost folder on the way that the account may not pass through."""
    for folder in reversed(path.resolve().parents):
        found = folder.stat()
        if found.st_uid == entry.pw_uid:
            passes = found.st_mode & stat.S_IXUSR
        elif found.st_gid == entry.pw_gid:
            passes = found.st_mode & stat.S_IXGRP
        else:
            passes = found.st_mode & stat.S_IXOTH
        if not passes:
            return folder
    return None
