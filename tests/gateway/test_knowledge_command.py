"""`nexus knowledge`, as it is typed: every kind of file is read and found, accents or none."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from functions.agents.embedding import HashEmbedder
from gateway.cli.main import main
from runtime.registry import load_registry
from runtime.settings import Settings
from state.recall import passages, passages_by_words
from state.shops import Shop, open_shop
from tests.runtime.harness import Platform, environment, working

FILES: dict[str, bytes] = {
    "envíos.md": "# Envíos\n\nEl camión sale los miércoles; no hay devoluciones ese día.".encode(),
    "cuidados.txt": b"Lava el algodon con agua fria.",
    "preguntas.csv": "pregunta;respuesta\n¿Hay dónde estacionar?;Sí, en Ñandubay.".encode("cp1252"),
    "trocas.html": (
        "<head><title>no</title></head><h1>Trocas e devolu&ccedil;&otilde;es</h1>"
        "<p>O tênis usado não é aceito.</p><script>segredo()</script>"
    ).encode(),
}
ASKED = [
    # what is asked, where the answer is; with and without accents, one and many
    ("¿el camion del miercoles?", "envíos.md"),
    ("CAMIONES", "envíos.md"),
    ("¿cómo lavo el algodón?", "cuidados.txt"),
    ("agua fría", "cuidados.txt"),
    ("donde puedo estacionar", "preguntas.csv"),
    ("ñandubay", "preguntas.csv"),
    ("nandubay", "preguntas.csv"),
    ("tênis usados", "trocas.html"),
    ("tenis", "trocas.html"),
    ("aceita trocas?", "trocas.html"),
    ("devolução", "trocas.html"),
    ("devolucao", "trocas.html"),
    ("devoluciones", "envíos.md"),
    ("devolución", "envíos.md"),
    ("devolucion", "envíos.md"),
    ("naive cafes", "warranty.pdf"),
    ("is the café covered?", "warranty.pdf"),
    ("garantia", "warranty.pdf"),
]


def pdf(*pages: str) -> bytes:
    """A PDF with these texts, a page each, as a word processor would write it."""
    kids = [4 + 2 * number for number in range(len(pages))]
    parts: list[str | bytes] = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {len(pages)} /Kids [{' '.join(f'{k} 0 R' for k in kids)}] >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for kid, text in zip(kids, pages, strict=True):
        parts.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {kid + 1} 0 R"
            " /Resources << /Font << /F1 3 0 R >> >> >>"
        )
        drawn = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode("cp1252")
        parts.append(b"<< /Length %d >>\nstream\n%b\nendstream" % (len(drawn), drawn))
    whole, places = b"%PDF-1.4\n", []
    for number, part in enumerate(parts, 1):
        places.append(len(whole))
        body = part if isinstance(part, bytes) else part.encode()
        whole += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(parts) + 1
    return whole + (
        b"xref\n0 %d\n0000000000 65535 f \n%btrailer << /Size %d /Root 1 0 R >>\n"
        b"startxref\n%d\n%%%%EOF\n" % (size, table, size, len(whole))
    )


@pytest.fixture
async def platform(settings: Settings) -> AsyncIterator[Platform]:
    async with working(settings, [*load_registry("functions")]) as found:
        yield found


@pytest.fixture
async def shop(platform: Platform) -> Shop:
    return await open_shop(platform.database, "uno")


async def typed(settings: Settings, *arguments: str) -> int:
    environ = environment(settings, "functions")
    return await asyncio.to_thread(main, ["knowledge", *arguments, "--shop", "uno"], environ)


async def found_by_words(platform: Platform, shop: Shop, question: str) -> list[str]:
    """The documents that full text alone finds, the best first."""
    async with platform.database.tenant(shop.tenant) as connection:
        match = await passages_by_words(connection, shop.tenant, question, 5, "none")
        return [one.source for one in await passages(connection, shop.tenant, match.ids, 5)]


async def test_every_kind_of_file_is_read_and_found_with_and_without_accents(
    settings: Settings,
    platform: Platform,
    shop: Shop,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    subtests: pytest.Subtests,
) -> None:
    files = {**FILES, "warranty.pdf": pdf("The naïve café is not covered.", "La garantía: un año.")}
    for name, body in files.items():
        (tmp_path / name).write_bytes(body)
    assert await typed(settings, "add", *(str(tmp_path / name) for name in files)) == 0
    said = capsys.readouterr().out
    for name in files:
        assert f"{name}: {2 if name == 'warranty.pdf' else 1} taken" in said
    for question, name in ASKED:
        with subtests.test(msg=question):
            assert name in await found_by_words(platform, shop, question)
    assert await found_by_words(platform, shop, "segredo") == []

    assert await typed(settings, "add", str(tmp_path / "envíos.md")) == 0
    assert "nothing new" in capsys.readouterr().out
    assert await platform.value("SELECT count(*) FROM passage") == 6
    assert await typed(settings, "remove", "envíos.md") == 0
    assert await found_by_words(platform, shop, "camión") == []


async def test_a_file_read_anew_replaces_what_it_said(
    settings: Settings, platform: Platform, shop: Shop, tmp_path: Path
) -> None:
    file = tmp_path / "horarios.md"
    for said in ("# Horarios\n\nAbrimos a las nueve.\n\n# Feriados\n\nCerrado.", "Abrimos tarde."):
        file.write_text(said)
        assert await typed(settings, "add", str(file)) == 0
    assert await found_by_words(platform, shop, "nueve") == []
    assert await found_by_words(platform, shop, "feriados") == []
    assert await found_by_words(platform, shop, "abrimos") == ["horarios.md"]


async def test_rebuild_places_every_row_in_the_space_of_today(
    settings: Settings,
    platform: Platform,
    shop: Shop,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "envios.md"
    file.write_text("# Envíos\n\nEl camión sale los miércoles.")
    assert await typed(settings, "add", str(file)) == 0
    elsewhere = "SELECT count(*) FROM passage WHERE space IS DISTINCT FROM $1"
    await platform.zero("SELECT count(*) FROM passage WHERE space IS NULL")
    await platform.value("UPDATE passage SET space = 'another' RETURNING 1")
    assert await platform.value(elsewhere, HashEmbedder.name) == 1
    assert await typed(settings, "rebuild") == 0
    assert "by words alone" in capsys.readouterr().out
    await platform.zero("SELECT count(*) FROM passage WHERE space IS DISTINCT FROM 'hash-v1-384'")
