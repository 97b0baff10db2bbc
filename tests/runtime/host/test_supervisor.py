"""What other terminals may count on, of a supervisor that starts and stops."""

import asyncio
import os
import signal
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from runtime.host.doors import Doors
from runtime.host.journal import Journal
from runtime.host.layout import Layout
from runtime.host.ledger import Ledger
from runtime.host.plan import LOCAL_LIMITS
from runtime.host.processes import started
from runtime.host.stack import Stack, read_processes
from runtime.host.supervisor import Supervisor
from tests.stacks import wait_for


async def test_whoever_reads_that_it_is_ready_finds_the_greeting_printed(tmp_path: Path) -> None:
    ready_when_greeted: list[bool] = []

    def greet() -> None:
        ready_when_greeted.append(bool(read_processes(tmp_path).get("ready")))

    supervisor = _supervisor_of_nothing(tmp_path)
    running = asyncio.create_task(supervisor.run(greet))
    await asyncio.to_thread(wait_for, "ready", lambda: read_processes(tmp_path).get("ready"))
    assert ready_when_greeted == [False]
    os.kill(os.getpid(), signal.SIGTERM)
    await running
    assert read_processes(tmp_path) == {}


def _supervisor_of_nothing(folder: Path) -> Supervisor:
    layout = Layout.at(folder)
    stack = Stack(
        pid=os.getpid(),
        moment=started(os.getpid()),
        started_at=0.0,
        address="",
        login_link="",
        private_address="",
        environment={"POSTGRES_DSN": "postgresql://127.0.0.1:9/none"},  # nobody is there
    )
    plan: Any = SimpleNamespace(
        layout=layout,
        embedded=SimpleNamespace(programs=list),
        processes=[],
        worker_of=None,
        stack=stack,
        scale_seconds=60.0,
        elsewhere=(),
        limits=LOCAL_LIMITS,
        doors=Doors(socket.socket(), {}),
    )
    journal = Journal(layout.folder("logs"), verbose=False)
    layout.folder("run")

    async def nothing_to_migrate() -> None:
        return None

    return Supervisor(plan, journal, Ledger(layout.run / "children.json"), nothing_to_migrate)
