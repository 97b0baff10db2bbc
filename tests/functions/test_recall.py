"""What a shop knows is found by it alone, by vectors and by words."""

import pytest

from functions.vectors_rebuild import VectorsRebuild
from runtime.settings import Settings
from state.passages import Piece, replace_passages
from state.shops import open_shop
from state.sources import DOCUMENT, give_source
from tests.functions.test_agent_run import Desk, furnished


async def knows(desk: Desk, title: str, body: str) -> None:
    """The shop has a document."""
    tenant = desk.shop.tenant
    async with desk.platform.database.tenant(tenant) as connection:
        source, _ = await give_source(connection, tenant, DOCUMENT, "a.md", "text/plain", b"x")
        await replace_passages(connection, tenant, source.source_id, [Piece(title, body)])
    await desk.platform.run(VectorsRebuild(everything=False), tenant=tenant)


async def recalled(desk: Desk, text: str) -> tuple[list[str], bool]:
    """A shopper asks; returns titles of what the agent recalled, and whether by words alone."""
    conversation = await desk.writes(text)
    await desk.runs(conversation)
    found = (await desk.turns(conversation))[-1].trace[0]
    assert found["kind"] == "recall"
    return list(found["passages"]), bool(found["degraded"])


async def test_without_chroma_the_words_answer_and_the_turn_says_so(settings: Settings) -> None:
    async with furnished(settings) as desk:
        await knows(desk, "Envíos", "El envío a Córdoba tarda poco.")
        ours = desk.platform
        assert await recalled(desk, "ENVIO A CORDOBA?") == (["Envíos"], True)
        assert await ours.value("SELECT count(*) FROM passage WHERE space IS NOT NULL") == 0


@pytest.mark.parametrize("chroma", [True, False], ids=["vectors", "words"])
async def test_one_shop_never_finds_what_another_knows(settings: Settings, chroma: bool) -> None:
    changes = {"chroma_url": settings.chroma_url if chroma else None}
    async with furnished(settings, **changes) as desk:
        other = Desk(desk.platform, desk.model, await open_shop(desk.platform.database, "dos"))
        await knows(desk, "Garantía", "Seis meses de garantía por fallas.")
        await knows(other, "Horarios", "Abrimos de lunes a viernes.")
        question = "garantía por fallas"
        assert await recalled(desk, question) == (["Garantía"], not chroma)
        titles, degraded = await recalled(other, question)
        assert "Garantía" not in titles
        assert degraded is not chroma
