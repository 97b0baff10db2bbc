"""Vectors are made anew: in one line, together, and never mixed with those of another space."""

import asyncio

from functions.vectors_rebuild import VectorsRebuild, vectors_rebuild
from runtime.settings import Settings
from state.passages import Piece, replace_passages
from state.shops import open_shop
from state.sources import DOCUMENT, give_source
from tests.runtime.harness import working


async def test_fifteen_requests_at_once_are_few_runs_and_all_end_well(settings: Settings) -> None:
    async with working(settings, [vectors_rebuild]) as platform:
        shop = await open_shop(platform.database, "uno")
        async with platform.database.tenant(shop.tenant) as connection:
            source, _ = await give_source(
                connection, shop.tenant, DOCUMENT, "a.md", "text/plain", b"x"
            )
            pieces = [Piece(f"Tema {number}", f"Palabras {number}.") for number in range(450)]
            await replace_passages(connection, shop.tenant, source.source_id, pieces)
        receipts = await asyncio.gather(
            *(
                platform.dispatcher.dispatch(
                    VectorsRebuild(everything=number == 3), wait=True, tenant=shop.tenant
                )
                for number in range(15)
            )
        )
        ends = [await platform.end_of(one.id, seconds=30) for one in receipts]
        assert {one.state for one in ends} == {"done"}
        assert await platform.value("SELECT count(*) FROM passage WHERE space IS NULL") == 0
        assert await platform.value("SELECT count(*) FROM failure") == 0
        assert await platform.value("SELECT max(epoch) FROM lane") <= 3  # so many runs
