"""Postgres of an installation that does not run: started for one command, and stopped again."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from runtime.host.errors import ServerFailed
from runtime.host.keys import kept
from runtime.host.layout import Layout
from runtime.host.ledger import Ledger
from runtime.host.ports import Ports
from runtime.host.postgres import Postgres
from runtime.host.program import Program
from runtime.host.stack import lock
from runtime.line import dsn_of
from runtime.settings import Settings

LOOK_SECONDS = 0.05


@asynccontextmanager
async def postgres_of(settings: Settings) -> AsyncIterator[str]:
    """Lend the address of this installation's Postgres.

    The one that was given, or else our own, which runs until the block ends. A fresh machine gets
    an empty one.

    Raises:
        AlreadyRunning: `nexus up` runs on this state folder.
        ServerFailed: it does not start.
    """
    if settings.postgres_dsn is not None:
        yield dsn_of(settings)
        return
    layout = Layout.at(settings.state_dir)
    with lock(layout):
        Ledger(layout.run / "children.json").end_orphans()
        port = Ports(layout).choose("postgres")
        postgres = Postgres(layout.folder("postgres"), port, kept(layout, "postgres"))
        await asyncio.to_thread(postgres.prepare)
        program = postgres.program()
        log = layout.logs / "postgres.log"
        process = _start(program, log)
        try:
            await _until_ready(program, process, log)
            yield postgres.dsn
        finally:
            await _stop(program, process)


def _start(program: Program, log: Path) -> "subprocess.Popen[bytes]":
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own arguments
            program.command(),
            env=dict(program.environment),
            cwd=program.directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for us; we stop it in order
        )


async def _until_ready(program: Program, process: "subprocess.Popen[bytes]", log: Path) -> None:
    try:
        async with asyncio.timeout(program.ready_seconds):
            while not await program.ready(process.pid):
                if process.poll() is not None:
                    raise ServerFailed(f"Postgres does not start; see {log}")
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        raise ServerFailed(f"Postgres is not ready in time; see {log}") from None


async def _stop(program: Program, process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.send_signal(program.stop_signal)
    try:
        await asyncio.to_thread(process.wait, program.stop_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        await asyncio.to_thread(process.wait)
