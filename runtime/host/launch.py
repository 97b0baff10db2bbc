"""Become another program: the last step before every program the supervisor starts.

    python -I -S launch.py ORDERS PROGRAM [ARGUMENT…]

ORDERS is a JSON object (see `Orders` in program.py). What it does, in this order:

1. asks the kernel to signal this process when the supervisor dies, so nothing is ever orphaned;
2. as root, gives up its rights for those of an account (Postgres refuses to run as root);
3. where that account cannot reach the program or its data, since a folder above is closed to it
   (a checkout in /root), it gets a view of its own in which only the needed folders exist there.

It replaces itself with the program: the process id stays. It imports little, since it runs often.
"""

import ctypes
import json
import os
import signal
import sys
from typing import Any, NoReturn

PR_SET_PDEATHSIG = 1
CLONE_NEWNS = 0x00020000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18

libc = ctypes.CDLL(None, use_errno=True)


def main(orders: dict[str, Any], argv: list[str]) -> NoReturn:
    """Follow the orders and become the program."""
    if orders["closed"]:
        show_only(orders["closed"], orders["shown"])
    if orders["account"]:
        user, group = orders["account"]
        os.setgroups([])
        os.setgid(group)
        os.setuid(user)
    if sys.platform == "linux":  # after setuid, which clears it
        libc.prctl(PR_SET_PDEATHSIG, orders["death_signal"], 0, 0, 0)
        if os.getppid() != orders["parent"]:  # it died before we asked
            os.kill(os.getpid(), signal.SIGKILL)
    os.execv(argv[0], argv)  # noqa: S606 - this is the whole purpose


def show_only(closed: list[str], shown: list[str]) -> None:
    """Cover closed folders with open, empty ones that hold only what is needed.

    For this process and its children alone. What is needed is held open before it is covered, and
    mounted from there at the same path.
    """
    checked(libc.unshare(CLONE_NEWNS), " and ".join(closed))
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    held = [(path, os.open(path, os.O_PATH)) for path in shown]
    for folder in closed:
        mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m")
    for path, descriptor in held:
        os.makedirs(path, exist_ok=True)
        mount(f"/proc/self/fd/{descriptor}", path, None, MS_BIND)


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    """Put a file system, or a folder that is there already, at a path."""
    words = [word.encode() if word else None for word in (source, target, kind)]
    checked(libc.mount(*words, flags, options.encode()), target)


def checked(result: int, what: str) -> None:
    """Raise what the last call of libc reported."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    try:
        main(given, sys.argv[2:])
    except OSError as problem:
        closed = " and ".join(given["closed"])
        remedy = f": its account cannot enter {closed}; chmod o+x, or move the checkout" * bool(
            closed
        )
        sys.exit(f"cannot start {sys.argv[2]}{remedy} ({problem})")
