"""After shoppers wrote, processes died and strangers knocked: planted secrets are nowhere.

Not in a dump of the database, in Redis, in logs, on error pages, or in anybody's arguments; and
what shoppers wrote, and their numbers, are in the database alone.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis.asyncio as redis

from bench.client import Client
from bench.shop import APP, SECRET, TOKEN, Shopper, open_bench_shop, post_signed, text_message
from runtime.host.binaries import postgres_folder
from runtime.host.stack import Stack
from tests.providers import model as models
from tests.providers.meta import Guest, Meta, server_of
from tests.servers import free_port
from tests.stacks import RunningStack, running_stack

SECRETS = {
    "ENCRYPTION_KEY": "4QD7zgCMBOxAY3rwr5H7LwWu7cI_hWotPAsVgGJddV4=",
    "INTERNAL_API_TOKEN": "canary-internal-0123456789-abcdefghijk",
    "ADMIN_TOKEN": "canary-admin-0123456789-abcdefghijk",
    "OPENAI_API_KEY": "sk-canary-0123456789-abcdefghijk",
}
GUESSED = "canary-guessed-0123456789-abcdefghijk"
SHOPPER = Shopper("5493415559173", "Canaria")
SAID = "canary-zapatillas"


class Providers:
    """WhatsApp and a model, on ports of their own."""

    def __init__(self) -> None:
        self.meta = Meta(access_token=TOKEN)
        self.graph, self.model = free_port(), free_port()

    def environment(self) -> dict[str, str]:
        return {
            "GRAPH_API_URL": f"http://127.0.0.1:{self.graph}",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{self.model}/v1",
            "NEXUS_QUIET_SECONDS": "0",
            "NEXUS_LEASE_SECONDS": "3",
        }


@pytest.fixture
async def providers() -> AsyncIterator[Providers]:
    found = Providers()
    server = server_of(found.meta, found.graph, Guest)
    serving = asyncio.create_task(found.meta.serve(server))
    async with models.standing_in(port=found.model):
        yield found
    server.should_exit = True
    await serving


class Joined:
    """The stack, as the bench's shop wants it."""

    def __init__(self, stack: RunningStack, card: Stack) -> None:
        self._stack, self.card = stack, card

    def environment(self) -> dict[str, str]:
        return {**self._stack.environment, **self.card.environment}


async def test_planted_secrets_are_nowhere_after_a_run_with_crashes(
    servers_folder: Path, providers: Providers
) -> None:
    environment = {**SECRETS, **providers.environment()}
    with running_stack(servers_folder / "canary", environment) as stack:
        card = await asyncio.to_thread(stack.wait_ready)
        joined: Any = Joined(stack, card)
        await open_bench_shop(joined)
        await shop_lives(stack, card, providers.meta)
        pages = await knock(card)
        dump = await dumped(card.environment["POSTGRES_DSN"])
        in_redis = await everything_in_redis(card.environment["REDIS_URL"])
        arguments = "\n".join(command_line(pid) for pid in stack.pids())
        logs = "\n".join(path.read_text() for path in (stack.state / "logs").glob("*.log*"))
        logs += stack.output().replace(card.login_link, "")

    assert SAID in dump.replace("\\", ""), "the dump holds what was written"
    assert "hello" in in_redis, "Redis was read"
    for secret in (*SECRETS.values(), SECRET, TOKEN, GUESSED):
        for place, text in {"dump": dump, "Redis": in_redis, "logs": logs}.items():
            assert secret not in text, place
            assert secret.encode().hex() not in text, place
        assert secret not in pages, "error pages"
        assert secret not in arguments, "arguments"
    for private in (SHOPPER.phone, SAID, SHOPPER.name):
        for place, text in {"Redis": in_redis, "logs": logs, "pages": pages}.items():
            assert private not in text, place


async def shop_lives(stack: RunningStack, card: Stack, meta: Meta) -> None:
    """Let a shopper write while worker and gateway are killed, until all is answered."""
    client = Client(card.address)
    for number in range(6):
        for name in ("worker", "gateway") if number in (1, 3) else ():
            if pid := stack.pid(name):
                os.kill(pid, signal.SIGKILL)
        body = text_message(SHOPPER, number, f"{SAID} #{number}")
        async with asyncio.timeout(30):
            while True:
                try:
                    if (await post_signed(client, body)).status == 200:
                        break
                except OSError:
                    pass
                await asyncio.sleep(0.1)
    async with asyncio.timeout(60):
        while not any("#5" in taken.body for taken in meta.accepted):
            await asyncio.sleep(0.1)
    client.close()


async def knock(card: Stack) -> str:
    """Ask for what is not there, with what is wrong; return all that was answered."""
    answers = []
    token = {"Authorization": f"Bearer {SECRETS['INTERNAL_API_TOKEN']}"}
    event = {"name": [SHOPPER.phone, SAID]}
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        for base in (card.address, card.private_address):
            for path in (f"/webhooks/whatsapp/{APP}", "/functions/hello", "/functions/nothing"):
                answers.append(await client.post(base + path, json=event))
                answers.append(await client.post(base + path, json=event, headers=token))
            form = {"Origin": base}
            for guess in (GUESSED, SECRETS["ADMIN_TOKEN"][:-1]):
                data = {"token": guess}
                answers.append(await client.post(f"{base}/login", data=data, headers=form))
            answers.append(await client.get(f"{base}/nothing", params={"said": GUESSED}))
            answers.append(await client.get(f"{base}/readyz", headers=token))
    assert any(answer.status_code == 422 for answer in answers)
    assert any(answer.status_code == 401 for answer in answers)
    return "\n".join(f"{answer.headers} {answer.text}" for answer in answers)


async def dumped(dsn: str) -> str:
    """Return what pg_dump writes."""
    process = await asyncio.create_subprocess_exec(
        postgres_folder() / "bin" / "pg_dump", "--inserts", dsn, stdout=asyncio.subprocess.PIPE
    )
    text, _ = await process.communicate()
    assert process.returncode == 0
    return text.decode(errors="replace")


async def everything_in_redis(url: str) -> str:
    """Return every key and all that is under it."""
    found = []
    async with redis.Redis.from_url(url) as client:
        async for key in client.scan_iter():
            found.append(repr((key, await client.dump(key))))
            if await client.type(key) == b"hash":
                found.append(repr(await client.hgetall(key)))
    return "\n".join(found)


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
