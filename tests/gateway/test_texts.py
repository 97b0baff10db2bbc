"""Three languages that say the same."""

import re
import string

import pytest

from gateway.texts import HERE, LANGUAGES, load, texts
from tests.gateway.conftest import Client
from tests.gateway.people import sign_in

PLACES = string.Formatter()


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in PLACES.parse(text) if name}


def test_every_language_has_the_same_texts_with_the_same_places() -> None:
    english = load("en")
    for language in LANGUAGES:
        catalogue = load(language)
        assert list(catalogue) == list(english), language
        for key, text in catalogue.items():
            assert text.strip(), (language, key)
            assert places(text) == places(english[key]), (language, key)


def test_every_text_is_used_and_every_used_one_exists() -> None:
    sources = "\n".join(
        path.read_text()
        for folder in ("templates", "pages")
        for path in (HERE.parent / folder).iterdir()
        if path.suffix in (".html", ".py")
    )
    named = set(re.findall(r"""\bt\(['"]([\w.]+\w)['"]""", sources))
    families = (
        "state.",
        "said.",
        "problem.",
        "detail.step.",
        "cancel.",
        "replay.",
        "login.",
        "turn.",
    )
    known = set(load("en"))

    assert named <= known, named - known
    unused = {key for key in known - named if f'"{key}"' not in sources}
    assert {key for key in unused if not key.startswith(families)} == set()


def test_numbers_and_durations_are_written_as_people_do() -> None:
    assert texts("en").number(12345) == "12,345"
    assert texts("es").number(12345) == "12.345"
    assert texts("en").seconds(0.0042) == "4 ms"
    assert texts("pt").seconds(7.51) == "7,5 s"
    assert texts("en").seconds(5400) == "1.5 h"


@pytest.mark.parametrize(
    ("asked", "heading"), [("es-AR,es;q=0.9", "Invocaciones"), ("pt-BR", "Invocações"), ("fr", "I")]
)
async def test_a_page_speaks_the_browsers_language(
    outside: Client, asked: str, heading: str
) -> None:
    await sign_in(outside)
    page = await outside.get("/invocations", headers={"Accept-Language": asked})

    assert f"<h1>{heading}" in page.text
    assert f'<html lang="{asked[:2] if asked != "fr" else "en"}">' in page.text


async def test_a_chosen_language_stays(outside: Client) -> None:
    chosen = await outside.get("/login?lang=pt")
    later = await outside.get("/login", headers={"Accept-Language": "es"})
    unknown = await outside.get("/login?lang=xx")

    assert "Entrar no Nexus" in chosen.text
    assert "Entrar no Nexus" in later.text
    assert unknown.status_code == 200
