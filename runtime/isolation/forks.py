"""The worker's end of its fork server, and of each child."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from runtime.errors import RuntimeFault
from runtime.isolation.wire import LINE_LIMIT_BYTES, Preload, line
from runtime.logs import Log

log = Log("isolation")

COMMAND = ("-m", "runtime.isolation.forkserver")
START_SECONDS = 60.0
"""Importing the functions may take this long."""
LAST_WORDS_SECONDS = 0.2
"""What a child wrote before it died is read for this long."""
SERVER_DIED = 0x100
"""In place of an exit code: the child was killed because the fork server died."""


class ForkFailed(RuntimeFault):
    """No process could be forked for this attempt."""


class Child:
    """One child, as its worker sees it."""

    def __init__(
        self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.pid = pid
        self.gone: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """Its exit code, below 0 the signal; or SERVER_DIED."""
        self.rested = 0
        """How often it was put back: tells its rests apart."""
        self._reader, self._writer = reader, writer

    def tell(self, **message: Any) -> None:
        """Send a message; one that has died does not mind."""
        if not self._writer.is_closing():
            self._writer.write(line(**message))

    async def hear(self) -> dict[str, Any] | None:
        """Return the next message; None: there will be no more."""
        try:
            text = await self._reader.readline()
        except (OSError, ValueError):
            return None
        return json.loads(text) if text.endswith(b"\n") else None

    def ended(self, code: int) -> None:
        """Note that the process is gone."""
        if not self.gone.done():
            self.gone.set_result(code)
            # Something that it started may hold its end of the channel open.
            asyncio.get_running_loop().call_later(LAST_WORDS_SECONDS, self._writer.transport.abort)


class Forks:
    """Starts the fork server when it is first needed, and again when it died."""

    def __init__(self, preload: Callable[[], Preload]) -> None:
        self._preload = preload
        self._control: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._asked = 0
        self._forked: dict[int, tuple[asyncio.Future[Child], Callable[[int], Child]]] = {}
        self._children: dict[int, Child] = {}

    async def start(self) -> None:
        """Start the fork server, unless it is there."""
        async with self._starting:
            if self._control is not None:
                return
            ours, theirs = socket.socketpair()
            with theirs:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *COMMAND,
                    str(theirs.fileno()),
                    pass_fds=[theirs.fileno()],
                    stdin=asyncio.subprocess.DEVNULL,
                    env={**os.environ, "MALLOC_ARENA_MAX": "2"},  # arenas count as memory taken
                    start_new_session=True,  # Ctrl-C is for the worker, which drains
                )
            ours.setblocking(False)
            self._control = ours
            self._listening = asyncio.create_task(self._listen(ours, self._process))
            told = line(**asdict(self._preload()))
            await asyncio.get_running_loop().sock_sendall(ours, told)

    async def fork(self, memory_mb: int) -> Child:
        """Return a new child.

        Raises:
            ForkFailed: the fork server did not start, or died.
        """
        await self.start()
        control = self._control
        if control is None:
            raise ForkFailed("the fork server ended while it started; the log says why")
        self._asked += 1
        number = self._asked
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=LINE_LIMIT_BYTES)
        # Made when the answer is heard: the next message may be that it is gone.
        answer: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._forked[number] = (answer, lambda pid: Child(pid, reader, writer))
        try:
            with theirs:
                text = line(fork=number, memory_mb=memory_mb)
                socket.send_fds(control, [text], [theirs.fileno()])
            async with asyncio.timeout(START_SECONDS):
                return await answer
        except (OSError, TimeoutError) as error:
            writer.close()  # a child that comes late after all ends by that
            raise ForkFailed(f"no process could be forked: {error or 'it took too long'}") from None
        finally:
            self._forked.pop(number, None)

    def kill(self, child: Child) -> None:
        """Kill a child, and what it started; the fork server knows whether it still is."""
        if self._control is not None and not child.gone.done():
            try:
                self._control.send(line(kill=child.pid))
            except OSError:  # the fork server is gone, and its children with it
                log.debug("the fork server does not listen")

    async def aclose(self) -> None:
        """End the fork server and all children."""
        control, self._control = self._control, None
        if control is None or self._process is None or self._listening is None:
            return
        control.shutdown(socket.SHUT_WR)
        try:
            async with asyncio.timeout(2):
                await self._process.wait()
        except TimeoutError:  # it still imports
            self._process.kill()
            await self._process.wait()
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        control.close()

    async def _listen(self, control: socket.socket, process: asyncio.subprocess.Process) -> None:
        loop, buffer = asyncio.get_running_loop(), b""
        try:
            while data := await loop.sock_recv(control, 65536):
                *lines, buffer = (buffer + data).split(b"\n")
                for each in lines:
                    self._heard(json.loads(each))
        except OSError:
            log.debug("the connection to the fork server broke")
        code = await process.wait()
        if self._control is control:
            log.error("the fork server died; the next attempt starts another", code=code)
            self._control = None
            control.close()
        for answer, _ in self._forked.values():
            if not answer.done():
                answer.set_exception(OSError("the fork server died"))
        for pid in list(self._children):
            self._children.pop(pid).ended(SERVER_DIED)

    def _heard(self, message: dict[str, Any]) -> None:
        if "forked" in message:
            answer, make = self._forked.get(message["forked"], (None, None))
            if answer is not None and make is not None and not answer.done():
                child = self._children[message["pid"]] = make(message["pid"])
                answer.set_result(child)
        elif (gone := self._children.pop(message["gone"], None)) is not None:
            gone.ended(message["code"])


def how(code: int) -> str:
    """Return how a process ended, for people.

    >>> how(-11), how(3)
    ('ended by SIGSEGV', 'ended with exit code 3')
    """
    if code < 0:
        try:
            return f"ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"ended by signal {-code}"
    return f"ended with exit code {code}"
