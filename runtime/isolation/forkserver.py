"""The fork server: imports the functions once, then does nothing but fork.

It never has an event loop, a thread or a connection, so that a fork of it is a clean process. It
is started by exec, one per worker, and only where a served function asks for a process.
"""

import gc
import json
import os
import selectors
import signal
import socket
import sys
import threading
from contextlib import suppress
from typing import Any

from runtime.isolation.child import Preloaded, be_child
from runtime.isolation.limits import die_with_parent, outlive_parent
from runtime.isolation.wire import Preload, line
from runtime.logs import Log, configure_logging
from runtime.numbered import NumberedRegistry
from runtime.registry import load_registry
from runtime.settings import Settings

log = Log("forkserver")


class ForkServer:
    """Forks when told to, kills when told to, and says who ended."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._buffer = b""
        self._fds: list[int] = []
        self._pids: set[int] = set()

    def preload(self) -> Preloaded:
        """Learn what to import, and import it."""
        while b"\n" not in self._buffer:
            if not self._receive():
                sys.exit(0)
        first, self._buffer = self._buffer.split(b"\n", 1)
        told = Preload(**json.loads(first))
        settings = Settings.model_validate(told.settings)
        configure_logging(settings)
        registry = load_registry(settings.functions)
        if threading.active_count() > 1:
            log.warning("a function file starts threads when it is imported; a fork has none")
        gc.collect()
        gc.freeze()  # a collection in a child would copy every page it looks at
        numbered = NumberedRegistry(registry, told.numbers)
        return Preloaded(settings, numbered, told.worker, told.roles)

    def serve(self, preloaded: Preloaded) -> None:
        """Serve until the worker closes its end; then nothing of ours lives on."""
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(woken, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        with selectors.DefaultSelector() as ready:
            ready.register(self._control, selectors.EVENT_READ)
            ready.register(woken, selectors.EVENT_READ)
            open_ = True
            while open_:
                for message in self._messages():
                    if "fork" in message:
                        self._fork(message, preloaded, (woken, wake, ready.fileno()))
                    else:
                        self._kill(message["kill"])
                for key, _ in ready.select():
                    if key.fd == woken:
                        with suppress(BlockingIOError):
                            os.read(woken, 4096)
                    else:
                        open_ = self._receive()
                self._reap()
        for pid in list(self._pids):
            self._kill(pid)

    def _receive(self) -> bool:
        data, fds, _, _ = socket.recv_fds(self._control, 65536, 16)
        self._buffer += data
        self._fds += fds
        return bool(data)

    def _messages(self) -> list[dict[str, Any]]:
        *lines, self._buffer = self._buffer.split(b"\n")
        return [json.loads(each) for each in lines]

    def _fork(self, message: dict[str, Any], preloaded: Preloaded, ours: tuple[int, ...]) -> None:
        channel = self._fds.pop(0)
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for fd in (self._control.detach(), *ours, *self._fds):
                os.close(fd)
            os.setpgid(0, 0)
            die_with_parent(server)
            be_child(socket.socket(fileno=channel), preloaded, message["memory_mb"])
        self._pids.add(pid)
        os.close(channel)
        self._tell(forked=message["fork"], pid=pid)

    def _kill(self, pid: int) -> None:
        if pid in self._pids:  # nobody else has this number before we have reaped it
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            _kill_group(pid)

    def _reap(self) -> None:
        while self._pids:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._pids.discard(pid)
            _kill_group(pid)
            self._tell(gone=pid, code=os.waitstatus_to_exitcode(status))

    def _tell(self, **message: Any) -> None:
        with suppress(OSError):  # the worker is gone: the next look at its socket says so
            self._control.sendall(line(**message))


def _kill_group(pid: int) -> None:
    """Kill what a child has started and left behind."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def main() -> None:
    """Serve on the socket that the worker handed down."""
    die_with_parent(os.getppid())
    server = ForkServer(socket.socket(fileno=int(sys.argv[1])))
    preloaded = server.preload()
    outlive_parent()  # from here the end of the socket tells, and there is time to clean up
    server.serve(preloaded)


if __name__ == "__main__":
    main()
