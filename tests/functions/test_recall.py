"""What a shop knows is found by it alone, by vectors and by words."""

import pytest

from functions.agents.embedding import HashEmbedder, hashed
from functions.vectors_rebuild import VectorsRebuild
from runtime.settings import Settings
from state import recall as by_words
from state.catalogue import NewProduct, NewVariant, put_products, unpublish_others
from state.passages import Piece, replace_passages
from state.shops import open_shop
from state.sources import CATALOGUE, DOCUMENT, give_source
from state.vectors import PRODUCTS, vectors_at
from tests.functions.test_agent_run import Desk, furnished


async def knows(desk: Desk, title: str, body: str) -> None:
    """The shop has a document."""
    tenant = desk.shop.tenant
    async with desk.platform.database.tenant(tenant) as connection:
        source, _ = await give_source(connection, tenant, DOCUMENT, "a.md", "text/plain", b"x")
        await replace_passages(connection, tenant, source.source_id, [Piece(title, body)])
    await desk.platform.run(VectorsRebuild(everything=False), tenant=tenant)


async def sells(desk: Desk, *names: str) -> None:
    """The shop has a catalogue of these products and no others."""
    tenant = desk.shop.tenant
    variant = NewVariant({}, None, 100, None, None)
    products = [NewProduct(name, name, "", "", "", "", None, True, [variant]) for name in names]
    async with desk.platform.database.tenant(tenant) as connection:
        source, _ = await give_source(connection, tenant, CATALOGUE, "a.csv", "text/csv", b"x")
        await put_products(connection, tenant, source.source_id, products)
        await unpublish_others(connection, tenant, source.source_id, names)
    await desk.platform.run(VectorsRebuild(everything=False), tenant=tenant)


async def recalled(desk: Desk, text: str, kind: str = "passages") -> tuple[list[str], bool]:
    """A shopper asks; returns what the agent recalled, by title or name, and whether degraded."""
    conversation = await desk.writes(text)
    await desk.runs(conversation)
    found = (await desk.turns(conversation))[-1].trace[0]
    assert found["kind"] == "recall"
    return list(found[kind]), bool(found["degraded"])


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


@pytest.mark.parametrize("chroma", [True, False], ids=["vectors", "words"])
async def test_one_shop_never_finds_what_another_sells(settings: Settings, chroma: bool) -> None:
    changes = {"chroma_url": settings.chroma_url if chroma else None}
    async with furnished(settings, **changes) as desk:
        other = Desk(desk.platform, desk.model, await open_shop(desk.platform.database, "dos"))
        await sells(desk, "Botas Quetzal")
        await sells(other, "Poncho Salteño")
        assert await recalled(desk, "botas quetzal", "products") == (["Botas Quetzal"], not chroma)
        names, degraded = await recalled(other, "botas quetzal", "products")
        assert "Botas Quetzal" not in names
        assert degraded is not chroma
        tools = [("search_products", {"query": "botas quetzal"})]
        other.model.calls(*tools, ("search_knowledge", {"query": "botas quetzal"}))
        other.model.says("No hay.")
        await other.runs(await other.writes("¿y botas?"))
        results = [one["content"] for one in other.shown() if one["role"] == "tool"]
        assert len(results) == 2
        assert "Quetzal" not in " ".join(results)


async def test_a_query_that_names_the_wrong_shop_finds_nothing_of_it(settings: Settings) -> None:
    async with furnished(settings, chroma_url=settings.chroma_url) as desk:
        database, one = desk.platform.database, desk.shop.tenant
        other = Desk(desk.platform, desk.model, await open_shop(database, "dos"))
        await sells(desk, "Botas Quetzal")
        await knows(other, "Horarios", "Abrimos de lunes a viernes.")
        async with database.tenant(one) as connection:
            found = await by_words.products_by_words(connection, one, "botas", 5, "none")
            assert len(await by_words.products(connection, one, found.ids, 5)) == 1
        async with database.tenant(other.shop.tenant) as connection:
            theirs = await by_words.products_by_words(connection, one, "botas", 5, "none")
            assert theirs == ([], False, False)
            assert await by_words.products(connection, one, found.ids, 5) == []
        async with database.engine() as connection:  # where a server forbids roles: no second wall
            two = other.shop.tenant
            assert (await by_words.products_by_words(connection, two, "botas", 5, "none")).ids == []
            assert await by_words.products(connection, two, found.ids, 5) == []

        # Should its vectors ever lie in the other's collection, its rows are still its own.
        assert settings.chroma_url is not None
        where = other.shop.tenant, PRODUCTS, HashEmbedder.name
        vectors = vectors_at(settings.chroma_url)
        await vectors.put(*where, found.ids, [hashed("Botas Quetzal")])
        assert await vectors.nearest(*where, hashed("botas quetzal"), 5) == found.ids
        assert await recalled(other, "botas quetzal", "products") == ([], False)


async def test_what_was_taken_off_is_not_recalled_by_its_vector_either(settings: Settings) -> None:
    async with furnished(settings, chroma_url=settings.chroma_url) as desk:
        names = [f"Botas de lluvia {number}" for number in range(8)]
        await sells(desk, *names, "Botas de nieve")
        await sells(desk, "Botas de nieve")
        assert await recalled(desk, "botas de lluvia", "products") == (["Botas de nieve"], False)


# Spaces: vectors of one embedding say nothing in another.


async def test_in_another_space_the_words_alone_answer_until_the_vectors_are_rebuilt(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with furnished(settings, chroma_url=settings.chroma_url) as desk:
        await knows(desk, "Garantía", "Seis meses de garantía.")
        await sells(desk, "Zapatillas Aurora")
        slip, right = "zapatiya de corer", "garantía de zapatillas"
        assert await recalled(desk, slip, "products") == (["Zapatillas Aurora"], False)

        monkeypatch.setattr(HashEmbedder, "name", "another-space")
        assert await recalled(desk, slip, "products") == ([], True)
        assert await recalled(desk, right, "products") == (["Zapatillas Aurora"], True)
        assert await recalled(desk, right) == (["Garantía"], True)

        await desk.platform.run(VectorsRebuild(), tenant=desk.shop.tenant)
        assert await recalled(desk, slip, "products") == (["Zapatillas Aurora"], False)

        # Back in the first space: its vectors are gone, and not taken for those of today.
        monkeypatch.setattr(HashEmbedder, "name", "hash-v1-384")
        assert await recalled(desk, slip, "products") == ([], True)


async def test_a_row_that_waits_for_its_vector_is_said(settings: Settings) -> None:
    async with furnished(settings, chroma_url=settings.chroma_url) as desk:
        await knows(desk, "Garantía", "Seis meses de garantía.")
        await desk.platform.value("UPDATE passage SET space = 'before' RETURNING 1")
        assert await recalled(desk, "garantía") == (["Garantía"], True)


async def test_vectors_that_chroma_lost_are_said(settings: Settings) -> None:
    async with furnished(settings, chroma_url=settings.chroma_url) as desk:
        await knows(desk, "Garantía", "Seis meses de garantía.")
        assert await recalled(desk, "garantía") == (["Garantía"], False)
        assert settings.chroma_url is not None
        await vectors_at(settings.chroma_url).forget(
            desk.shop.tenant, "passages", HashEmbedder.name
        )
        assert await recalled(desk, "garantía") == (["Garantía"], True)
        await desk.platform.run(VectorsRebuild(), tenant=desk.shop.tenant)
        assert await recalled(desk, "garantía") == (["Garantía"], False)
