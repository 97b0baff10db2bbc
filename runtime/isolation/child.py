"""A child: runs one attempt after the other, as a worker would, in a process of its own.

Everything it stores is fenced by worker number and epoch, which are rows and not connections; so
it is as safe to kill at any moment as a worker is.
"""

import asyncio
import json
import os
import socket
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

import uvloop

from runtime.attempt import Attempt
from runtime.calls import Calls
from runtime.emitter import Emitter
from runtime.isolation.limits import limit_cpu, limit_memory, resident_mb
from runtime.isolation.wire import LINE_LIMIT_BYTES, claimed_of, end, line, shop_of
from runtime.line import dsn_of
from runtime.numbered import NumberedRegistry
from runtime.platform import AttemptPlatform, Services
from runtime.providers import Providers
from runtime.ringer import Ringer
from runtime.settings import Settings
from runtime.steps import Steps
from runtime.time_limits import TimeLimits
from state.database import Database
from state.dispatch import Asked

GROWTH_SHARE = 0.5
"""A child that keeps more than this part of what it may take is replaced."""


@dataclass(frozen=True)
class Preloaded:
    """What the fork server has in memory for its children."""

    settings: Settings
    numbered: NumberedRegistry
    worker: int
    roles: bool


def be_child(channel: socket.socket, preloaded: Preloaded, memory_mb: int) -> NoReturn:
    """Serve a worker until it closes the channel; never returns."""
    try:
        limit_memory(memory_mb)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(Child(preloaded, memory_mb).serve(channel))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        sys.stdout.flush()
        os._exit(1)  # not through the fork server's frames, nor waiting for threads


class Child:
    """Serves one worker over one channel."""

    def __init__(self, preloaded: Preloaded, memory_mb: int) -> None:
        self._preloaded = preloaded
        self._grown_mb = resident_mb() + memory_mb * GROWTH_SHARE
        self._attempts = 0
        self._attempt: Attempt | None = None
        self._task: asyncio.Task[None]
        self._writer: asyncio.StreamWriter
        self._services: Services

    async def serve(self, channel: socket.socket) -> None:
        """Do what the worker says until it closes its end."""
        reader, self._writer = await asyncio.open_unix_connection(
            sock=channel, limit=LINE_LIMIT_BYTES
        )
        given = self._preloaded
        database = await Database.open(
            dsn_of(given.settings), application="nexus child", maximum=2, roles=given.roles
        )
        steps = Steps(database, given.worker)
        # The worker rings for us: we need no connection to Redis.
        self._services = Services(
            given.settings,
            database,
            given.numbered,
            Ringer(None),
            self._stored,
            steps,
            Emitter(database, given.worker),
            given.worker,
            Calls(
                database,
                given.worker,
                self._stored,
                wake=given.settings.notify_wake,
                alone=False,
            ),
            Providers(database, told=False),
        )
        while text := await reader.readline():
            message = json.loads(text)
            if "run" in message:
                self._task = asyncio.create_task(self._run(message["run"], message["function"]))
                await asyncio.sleep(0)  # it has begun, so that a stop finds it
            elif "stop" in message and self._attempt is not None:
                self._attempt.cancel(message["stop"])
            elif "doors" in message:
                steps.closing_doors = True
        os._exit(0)  # the worker is gone, or wants us to be; a handler that runs ends here

    async def _run(self, told: dict[str, Any], name: str) -> None:
        function = self._preloaded.numbered.registry.named(name)
        process = function.policy.process
        if process is not None and process.cpu_seconds is not None:
            limit_cpu(process.cpu_seconds)
        attempt = self._attempt = Attempt(claimed_of(told), function)
        attempt.task = asyncio.current_task()
        platform = AttemptPlatform(attempt, self._services)
        finish = await attempt.run(shop_of(told), told["merged"], platform, TimeLimits())
        self._attempts += 1
        self._attempt = None
        most = process.attempts if process is not None else 1
        spent = (
            self._attempts >= most
            or attempt.stop is not None
            or finish.cause == "timeout"  # a thread of it may still be at work
            or resident_mb() > self._grown_mb
        )
        emitted = attempt.stream is not None
        self._writer.write(line(end=end(finish), spent=spent, emitted=emitted))

    def _stored(self, asked: Sequence[Asked]) -> None:
        self._writer.write(line(stored=[asdict(one) for one in asked]))
