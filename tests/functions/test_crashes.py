"""A message on its way when a process is killed: it is answered all the same, and once."""

import asyncio
from pathlib import Path

from gateway.sandbox import new_shopper, write
from runtime.registry import load_registry
from runtime.settings import Settings
from state.channels import open_phone
from state.shops import open_shop
from tests.providers.model import standing_in
from tests.runtime.harness import platform, worker_process

UNANSWERED = "SELECT count(*) FROM message WHERE direction = 'in' AND turn IS NULL"
REPLIES = "SELECT array_agg(body || ' ' || state) FROM message WHERE direction = 'out'"


async def test_a_turn_whose_process_is_killed_is_answered_by_the_next_and_once(
    settings: Settings, tmp_path: Path
) -> None:
    async with standing_in() as model, platform(settings, load_registry("functions")) as found:
        shop = await open_shop(found.database, "uno")
        async with found.database.tenant(shop.tenant) as connection:
            await open_phone(connection, shop)
        ours = {
            "NEXUS_FUNCTIONS": "functions",
            "NEXUS_QUIET_SECONDS": "0",
            "OPENAI_BASE_URL": model.url,
        }
        thinking, go_on = model.thinks()
        async with worker_process(settings, tmp_path, **ours) as first:
            await write(found.dispatcher, shop, new_shopper("Ana"), "hola #1")
            async with asyncio.timeout(20):
                await thinking.wait()
            unanswered = await found.value(UNANSWERED)
            first.kill()
            await first.ended()
        go_on.set()
        assert unanswered == 1, "what is not answered is not marked so"
        async with worker_process(settings, tmp_path, **ours):
            await found.zero(UNANSWERED)
            await found.zero("SELECT count(*) FROM work")
        assert await found.value(REPLIES) == ["ok #1 delivered"]
