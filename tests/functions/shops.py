"""A demo shop for tests: opened by its own function, its files read by theirs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from functions.demo_open import NAME, DemoOpen
from runtime.function import Function
from runtime.registry import load_registry
from runtime.settings import Settings
from state.shops import Shop, shop_named
from tests.runtime.harness import Platform, working

READ = "SELECT count(*) FROM source WHERE state <> 'ready'"
UNPLACED = (
    "SELECT (SELECT count(*) FROM product WHERE space IS NULL)"
    " + (SELECT count(*) FROM passage WHERE space IS NULL)"
)


@asynccontextmanager
async def demo_shop(
    settings: Settings, *more: Function[Any]
) -> AsyncIterator[tuple[Platform, Shop]]:
    """Open it, with every function of ours at work, and wait until everything is read."""
    async with working(settings, [*load_registry("functions"), *more]) as platform:
        await platform.run(DemoOpen(), seconds=30)
        shop = await shop_named(platform.database, NAME)
        assert shop is not None
        await platform.zero(READ)
        if settings.chroma_url is not None:
            await platform.zero(UNPLACED)
        yield platform, shop
