"""A second host for tests, behind a link that can be cut.

A network namespace with a veth pair where the machine allows that; else a second loopback address,
with relays in between.
"""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.servers import free_port

AGAIN_SECONDS = 0.1


class Relay:
    """Passes TCP on. While it is cut nothing gets through and nobody is told, as on a dead link."""

    def __init__(self, host: str, port: int) -> None:
        self._to = host, port
        self._whole = asyncio.Event()
        self._whole.set()
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self, address: str) -> AsyncIterator[int]:
        """Listen at an address; gives the port."""
        server = await asyncio.start_server(self._begin, address, free_port())
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(0)  # what was broken off is closed in the next turn of the loop

    def cut(self) -> None:
        self._whole.clear()

    def restore(self) -> None:
        self._whole.set()

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._pass_on(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back: asyncio.StreamWriter | None = None
        try:
            await self._whole.wait()
            there, back = await asyncio.open_connection(*self._to)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, back))
                group.create_task(self._pump(there, writer))
        except* OSError:
            pass
        finally:
            for each in filter(None, (writer, back)):
                each.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._whole.wait()
            writer.write(data)
            await writer.drain()
        raise ConnectionAbortedError  # one end closed: close the other one


@dataclass
class Link:
    """The way between this host and the other one."""

    there: str
    """Address on which the other host listens."""
    enter: tuple[str, ...]
    """What stands before a command that runs there."""
    cut: Callable[[], None]
    restore: Callable[[], None]
    from_there: Callable[[str, int], Awaitable[tuple[str, int]]]
    """Make a port of ours reachable from there; returns where it is then."""
    from_here: Callable[[int], Awaitable[tuple[str, int]]]
    """The same for a port of the other host."""


@asynccontextmanager
async def namespaces() -> AsyncIterator[Link]:
    """A network namespace, and a veth pair whose end here is set down to cut it."""
    name = f"nexus-{os.getpid()}"
    here, there = f"nxa{os.getpid()}", f"nxb{os.getpid()}"
    net = f"10.213.{os.getpid() % 250}"
    try:
        _ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        pytest.skip(f"no network namespaces here: {said.strip()}")
    try:
        _ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
        _ip("address", "add", f"{net}.1/30", "dev", here)
        _ip("link", "set", here, "up")
        for words in (
            f"address add {net}.2/30 dev {there}",
            "link set lo up",
            f"link set {there} up",
        ):
            _ip("-n", name, *words.split())
        async with AsyncExitStack() as closing:

            async def from_there(host: str, port: int) -> tuple[str, int]:
                relay = Relay(host, port)
                return f"{net}.1", await closing.enter_async_context(relay.listening(f"{net}.1"))

            async def from_here(port: int) -> tuple[str, int]:
                return f"{net}.2", port

            yield Link(
                f"{net}.2",
                ("ip", "netns", "exec", name),
                partial(_ip, "link", "set", here, "down"),
                partial(_ip, "link", "set", here, "up"),
                from_there,
                from_here,
            )
    finally:
        _ip("netns", "delete", name)


@asynccontextmanager
async def loopback() -> AsyncIterator[Link]:
    """A second loopback address; every way to and from it is a relay."""
    relays: list[Relay] = []
    async with AsyncExitStack() as closing:

        async def relayed(host: str, port: int) -> tuple[str, int]:
            relays.append(Relay(host, port))
            return "127.0.0.1", await closing.enter_async_context(relays[-1].listening("127.0.0.1"))

        def cut() -> None:
            for relay in relays:
                relay.cut()

        def restore() -> None:
            for relay in relays:
                relay.restore()

        yield Link("127.0.0.2", (), cut, restore, relayed, partial(relayed, "127.0.0.2"))


@asynccontextmanager
async def kept(
    argv: tuple[str, ...], environment: dict[str, str], log: Path
) -> AsyncIterator[None]:
    """Run a program, again whenever it ends, as a platform does."""

    async def keep() -> None:
        while True:
            with log.open("ab") as output:
                process = await asyncio.create_subprocess_exec(
                    *argv,
                    env=environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                )
            try:
                await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            await asyncio.sleep(AGAIN_SECONDS)

    task = asyncio.create_task(keep())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
