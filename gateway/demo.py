"""The demo shop of a local installation: opened by a function, as soon as everything is ready."""

import asyncio
import sys
from collections.abc import Mapping

from runtime.logs import Log

log = Log("demo")

FUNCTION = "demo_open"


async def open_demo_shop(environment: Mapping[str, str]) -> None:
    """Have the demo shop opened, or brought to this version. Safe to run any number of times.

    In a process of its own: the supervisor stays small, whatever the functions import. Nexus is
    ready without the shop, so a failure is told and nothing more.

    Args:
        environment: of this installation's processes.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "gateway.cli", "invoke", FUNCTION, "--no-wait"),
        env=dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, said = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        log.warning("the demo shop was not opened", said=said.decode(errors="replace").strip())
