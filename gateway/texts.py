"""Words in the viewer's language: catalogues in `locales/`, English where one has a gap."""

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path

from starlette.requests import HTTPConnection

LANGUAGES = {"es": "Español", "pt": "Português", "en": "English"}
FALLBACK = "en"
COOKIE = "lang"
HERE = Path(__file__).parent / "locales"


class Texts:
    """One language's texts; a call returns one, with its places filled."""

    def __init__(self, language: str, catalogue: Mapping[str, str]) -> None:
        self.language = language
        self._catalogue = catalogue

    def __call__(self, key: str, **values: object) -> str:
        """Return a text. An unknown key is a bug, and fails."""
        return self._catalogue[key].format_map(values)

    def number(self, value: float, digits: int = 0) -> str:
        """Write a number as people of this language do."""
        text = f"{value:,.{digits}f}"
        if self.language == "en":
            return text
        return text.translate({ord(","): ".", ord("."): ","})

    def seconds(self, value: float) -> str:
        """Write a duration in the largest fitting unit."""
        for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
            if value >= size:
                return f"{self.number(value / size, 1)} {unit}"
        if value >= 1:
            return f"{self.number(value, 1)} s"
        return f"{self.number(value * 1000)} ms"


@functools.cache
def texts(language: str) -> Texts:
    """Return the texts of a language of `LANGUAGES`."""
    return Texts(language, {**load(FALLBACK), **load(language)})


def load(language: str) -> dict[str, str]:
    """Read a catalogue."""
    found: dict[str, str] = tomllib.loads((HERE / f"{language}.toml").read_text("utf-8"))
    return found


def language_of(request: HTTPConnection) -> str:
    """Return the language to answer in: chosen in the address, earlier, or by the browser."""
    for chosen in (request.query_params.get("lang"), request.cookies.get(COOKIE)):
        if chosen in LANGUAGES:
            return chosen
    return accepted(request.headers.get("accept-language", ""))


def accepted(header: str) -> str:
    """Return the language a browser likes best among ours.

    >>> accepted("fr-FR,pt-BR;q=0.8,es;q=0.9"), accepted("de"), accepted("es-AR")
    ('es', 'en', 'es')
    """
    best, liked = FALLBACK, 0.0
    for item in header.split(",")[:20]:
        name, _, quality = item.partition(";")
        language = name.strip().lower().partition("-")[0]
        try:
            weight = float(quality.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        if language in LANGUAGES and weight > liked:
            best, liked = language, weight
    return best
