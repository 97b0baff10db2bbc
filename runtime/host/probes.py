"""Is it ready? One question per kind of server, each asked again until the answer is yes."""

import asyncio
import os
import select
import socket
from contextlib import suppress
from pathlib import Path

from runtime.host.program import Ready, at_once
from state.database import Database
from state.errors import DatabaseAway

ANSWER_SECONDS = 2
LEASE = """
SELECT true FROM worker WHERE pid = $1 AND NOT ended AND lease_until > clock_timestamp() LIMIT 1
"""


async def ask(where: int | Path, question: bytes, expected: bytes) -> bool:
    """Send bytes to a port of this machine, or a socket file; look for others in the answer."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            if isinstance(where, Path):
                reader, writer = await asyncio.open_unix_connection(where)
            else:
                reader, writer = await asyncio.open_connection("127.0.0.1", where)
            try:
                writer.write(question)
                return expected in await reader.read(512)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


def answers_http(where: int | Path, path: str, host: str = "localhost") -> Ready:
    """Ready: the path is answered with 200, at a port or a socket file."""
    name = f"{host}:{where}" if isinstance(where, int) else host
    question = f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode()

    async def ready(_: int) -> bool:
        return await ask(where, question, b" 200 ")

    return ready


def answers_ping(port: int, password: str) -> Ready:
    """Ready: Redis takes the password and answers (it says LOADING before)."""
    question = f"AUTH {password}\r\nPING\r\n".encode()

    async def ready(_: int) -> bool:
        return await ask(port, question, b"+PONG")

    return ready


def says_ready(data: Path) -> Ready:
    """Ready: Postgres wrote so into its own pid file, as pg_ctl looks for it."""
    file = data / "postmaster.pid"

    async def ready(pid: int) -> bool:
        try:
            lines = file.read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    return ready


def accepts(descriptor: int) -> Ready:
    """Ready: this very process waits for connections on a socket that it shares with others.

    Asking the socket tells nothing while an older process serves it too. The kernel knows who
    waits: the socket's number stands among those the process polls. Where the kernel does not
    say (other systems than Linux), a process counts as ready from the start.
    """
    if not _kernel_tells():
        return at_once
    wanted = f"ino:{os.fstat(descriptor).st_ino:x} "

    async def ready(pid: int) -> bool:
        return wanted in _polled(pid)

    return ready


def _kernel_tells() -> bool:
    """Say whether what we look for is to be found here, by looking for it in ourselves."""
    with socket.socket() as one:
        try:
            with select.epoll() as poll:
                poll.register(one.fileno())
                return f"ino:{os.fstat(one.fileno()).st_ino:x} " in _polled(os.getpid())
        except (AttributeError, OSError):
            return False


def _polled(pid: int) -> str:
    """Return what the kernel says about the open files of a process; nothing when it is gone."""
    found = []
    try:
        for file in Path(f"/proc/{pid}/fdinfo").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                found.append(file.read_text())
    except OSError:
        return ""
    return "".join(found)


def both(first: Ready, second: Ready) -> Ready:
    """Ready: one after the other."""

    async def ready(pid: int) -> bool:
        return await first(pid) and await second(pid)

    return ready


def holds_lease(dsn: str) -> Ready:
    """Ready: the worker with this process id has its lease in the database, so it takes work."""

    async def ready(pid: int) -> bool:
        try:
            database = await Database.open(dsn, application="nexus up", maximum=1)
        except DatabaseAway:
            return False
        try:
            async with database.engine() as connection:
                return bool(await connection.fetchval(LEASE, pid))
        except DatabaseAway:
            return False
        finally:
            await database.aclose()

    return ready
