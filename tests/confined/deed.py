"""Do something that would hurt a worker. Safe to run twice: it hurts only its own process."""

import asyncio
import ctypes
import os
import subprocess
import time
from pathlib import Path
from typing import Literal

from runtime import Context, Event, Process, Retry, function
from tests.sample.note import Note

kept: list[bytearray] = []


class Deed(Event):
    """What to do."""

    kind: Literal[
        "pid", "segfault", "memory", "loop", "thread", "sleep", "deaf", "grow", "write", "child"
    ]
    file: str = ""
    times: int = 99


@function(
    timeout=2,
    retry=Retry(attempts=1),
    isolation=Process(memory_mb=256, attempts=5, processes=3),
)
async def deed(event: Deed, ctx: Context) -> int:
    """Do it; returns the process's id."""
    match event.kind:
        case "segfault":
            with Path(event.file).open("a+") as tally:
                tally.seek(0)
                if len(tally.read()) < event.times:
                    tally.write("x")
                    tally.flush()
                    ctypes.string_at(0)
        case "memory":
            bytearray(1024 * 1024 * 1024)
        case "loop":
            while True:
                time.sleep(0.01)  # noqa: ASYNC251
        case "thread":
            await asyncio.to_thread(time.sleep, 3600)
        case "sleep":
            await asyncio.sleep(1.5)
        case "deaf":
            Path(event.file).write_text(str(os.getpid()))
            time.sleep(3600)  # noqa: ASYNC251 - nothing can cancel that
        case "grow":
            kept.append(bytearray(b"x") * (160 * 1024 * 1024))
        case "child":
            started = subprocess.Popen(["sleep", "3600"])  # noqa: ASYNC220
            Path(event.file).write_text(f"{os.getppid()} {os.getpid()} {started.pid}")
            time.sleep(3600)  # noqa: ASYNC251
        case "write":
            await _write(event, ctx)
    ctx.log.info("deed done", attempt=ctx.attempt)
    return os.getpid()


async def _write(event: Deed, ctx: Context) -> None:
    async def call() -> str:
        with Path(event.file).open("a") as file:
            file.write("called\n")
        return "answer"

    assert await ctx.step("once", call, writes=True) == "answer"
    async with ctx.transaction() as transaction:
        await transaction.connection.execute("SELECT 1")
        transaction.dispatch(Note(file=event.file, line="from the transaction", book="b"))
    await ctx.dispatch(Note(file=event.file, line="with the outcome", book="b"))
