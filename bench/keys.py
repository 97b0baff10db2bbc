"""Seal 100,000 credentials with a new key while they are read: how long, and does a reader notice?

The rotation is killed once in the middle and begun again, as an operator would.
"""

import argparse
import asyncio
import base64
import json
import os
import random
import signal
import sys
import time
from typing import Any
from uuid import uuid4

import asyncpg
import uvloop

from bench.stack import ROOT, Running, stack
from runtime.settings import load_settings
from runtime.vault import Vault
from state.database import Database
from state.keyring import KeyRing, Sealed

CREDENTIALS, QUICK_CREDENTIALS = 100_000, 20_000
KILLED_AFTER_SECONDS = 2.0
READ_PAUSE_SECONDS = 0.005
PURPOSE = "bench"


def new_key() -> str:
    """Return a key as ENCRYPTION_KEY has it."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


async def bench(running: Running, old: str, count: int) -> dict[str, Any]:
    """Fill, rotate with a reader beside it, and look what is left."""
    dsn = running.card.environment["POSTGRES_DSN"]
    await _fill(dsn, KeyRing.parse(old), count)
    environment = {**running.environment(), "ENCRYPTION_KEY": f"{new_key()},{old}"}
    stop = asyncio.Event()
    reading = asyncio.create_task(_read(environment, count, stop))
    killed = await _rotate(environment, KILLED_AFTER_SECONDS)
    began = time.monotonic()
    code = await _rotate(environment, None)
    seconds = time.monotonic() - began
    stop.set()
    latencies, failures = await reading
    connection = await asyncpg.connect(dsn)
    left = await connection.fetchval(
        "SELECT count(*) FROM credential WHERE key_id = $1", KeyRing.parse(old).first
    )
    await connection.close()
    latencies.sort()
    return {
        "credentials": count,
        "seconds": round(seconds + KILLED_AFTER_SECONDS * (killed != 0), 1),
        "killed_and_resumed": killed == -signal.SIGKILL,
        "exit_code": code,
        "left_under_the_old_key": left,
        "reads": len(latencies),
        "read_failures": failures,
        "read_p50_ms": round(1000 * latencies[len(latencies) // 2], 1),
        "read_p99_ms": round(1000 * latencies[int(len(latencies) * 0.99)], 1),
    }


async def _fill(dsn: str, ring: KeyRing, count: int) -> None:
    rows = []
    for number in range(count):
        whose = Sealed(0, PURPOSE, uuid4(), 1)
        sealed = ring.seal(whose, f"secret-{number}")
        rows.append((whose.id, 0, PURPOSE, str(number), ring.first, sealed, 1))
    columns = ["credential_id", "tenant", "purpose", "name", "key_id", "ciphertext", "version"]
    connection = await asyncpg.connect(dsn)
    await connection.copy_records_to_table("credential", records=rows, columns=columns)
    await connection.close()


async def _rotate(environment: dict[str, str], killed_after_seconds: float | None) -> int:
    """Run `nexus keys rotate`, and kill it if told to; returns the exit code."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-m", "gateway.cli", "keys", "rotate"),
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
    )
    if killed_after_seconds is not None:
        try:
            async with asyncio.timeout(killed_after_seconds):
                return await process.wait()
        except TimeoutError:
            process.kill()
    return await process.wait()


async def _read(
    environment: dict[str, str], count: int, stop: asyncio.Event
) -> tuple[list[float], int]:
    """Open credentials at random, as a worker does; returns latencies, and how many were wrong."""
    settings = load_settings(environment)
    database = await Database.open(environment["POSTGRES_DSN"], application="bench", maximum=2)
    vault, latencies, failures = Vault(settings, database), [], 0
    while not stop.is_set():
        number = random.randrange(count)
        began = time.monotonic()
        failures += await vault.get(0, PURPOSE, str(number)) != f"secret-{number}"
        latencies.append(time.monotonic() - began)
        await asyncio.sleep(READ_PAUSE_SECONDS)
    await database.aclose()
    return latencies, failures


def main() -> int:
    """Run, print, and say by the exit code whether all is sealed anew and nobody noticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_CREDENTIALS:,} credentials")
    count = QUICK_CREDENTIALS if parser.parse_args().quick else CREDENTIALS
    print(f"{count:,} credentials; killed after {KILLED_AFTER_SECONDS:g} s and begun again")
    old = new_key()
    loop = uvloop.new_event_loop
    with stack(ENCRYPTION_KEY=old) as running, asyncio.Runner(loop_factory=loop) as runner:
        found = runner.run(bench(running, old, count))
    print(json.dumps(found))
    return 1 if found["left_under_the_old_key"] or found["read_failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
