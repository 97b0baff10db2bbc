"""Embeddings: texts as directions in a space; each space has a name, and spaces are never mixed.

Without a key the local one compares words and their parts, blind to accents and kind to typos. It
does not know meaning.
"""

from __future__ import annotations

import asyncio
import math
import re
import unicodedata
import zlib
from collections import defaultdict
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from typing import Protocol

from runtime.settings import Settings

DIMENSIONS = 384
WORD = re.compile(r"[a-z0-9]+")
GRAMS = ((3, 0.5), (4, 0.7), (5, 0.9))
STOP = frozenset(
    word
    for line in (
        "a al ante con como cual cuando de del desde donde el ella en es esta este hay hasta la",
        "las le lo los mas me mi muy no nos o para pero por que quien se si sin sobre son su sus",
        "te tu un una unas unos y ya hola buenas gracias tenes tienen quiero busco necesito",
        "ao aos as com da das do dos e em essa esse foi isso na nas nao no nos os ou pela pelo por",
        "qual quem seu sua um uma voce",
        "an and are at be by can does for from has have how i in is it my of on or our that the",
        "their this to was we what when where which with you your",
    )
    for word in line.split()
)


class Embedder(Protocol):
    """Something that gives texts directions."""

    name: str
    """Of its space: vectors of another one cannot be compared with it."""

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector of length 1 for each text."""
        ...


class HashEmbedder:
    """Signed hashing of words, their beginnings and their parts into a fixed space."""

    name = f"hash-v1-{DIMENSIONS}"

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector for each text; beside the loop when there are many."""
        if len(texts) < 8:
            return [hashed(text) for text in texts]
        return await asyncio.to_thread(lambda: [hashed(text) for text in texts])


class OpenAIEmbedder:
    """A model of an OpenAI-compatible server."""

    def __init__(self, settings: Settings, model: str, key: str) -> None:
        self.name = re.sub(r"[^a-zA-Z0-9._-]", "-", model)[:60]
        self._settings, self._model, self._key = settings, model, key

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Ask the server."""
        openai = await asyncio.to_thread(import_module, "openai")
        async with openai.AsyncOpenAI(
            api_key=self._key, base_url=self._settings.openai_base_url, max_retries=0
        ) as client:
            answer = await client.embeddings.create(
                model=self._model, input=list(texts), encoding_format="float", timeout=20
            )
        ordered = sorted(answer.data, key=lambda one: one.index)
        return [list(one.embedding) for one in ordered]


def embedder_of(settings: Settings) -> Embedder:
    """Return the embedder of this installation: one space for all its shops."""
    key = settings.openai_api_key
    if settings.openai_embedding_model and key:
        return OpenAIEmbedder(settings, settings.openai_embedding_model, key.get_secret_value())
    return HashEmbedder()


def folded(text: str) -> str:
    """Return a text in small letters without accents.

    >>> folded("Camión Ñandú")
    'camion nandu'
    """
    plain = unicodedata.normalize("NFKD", text.lower())
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def hashed(text: str) -> list[float]:
    """Return the vector of a text, of length 1.

    >>> near = sum(a * b for a, b in zip(hashed("zapatillas"), hashed("zapatilla negra")))
    >>> far = sum(a * b for a, b in zip(hashed("zapatillas"), hashed("horario del local")))
    >>> near > 0.5 > far
    True
    """
    vector = [0.0] * DIMENSIONS
    for feature, weight in _features(text).items():
        raw = feature.encode()
        first, second = zlib.crc32(raw), zlib.crc32(b"\x01" + raw)
        size = math.log1p(weight)
        # Two places for each: the sign of one comes from the other, so collisions even out.
        vector[first % DIMENSIONS] += size if second & 1 else -size
        vector[second % DIMENSIONS] += size if first & 1 else -size
    length = math.sqrt(sum(one * one for one in vector))
    if not length:
        vector[0] = length = 1.0  # the direction of nothing still has to be one
    return [one / length for one in vector]


def _features(text: str) -> dict[str, float]:
    found: defaultdict[str, float] = defaultdict(float)
    words = [word for word in WORD.findall(folded(text)) if word not in STOP]
    for word in words:
        found[f"w:{word}"] += 2.0
        if len(word) > 5:
            found[f"s:{word[:5]}"] += 1.5
        whole = f"<{word}>"
        for size, weight in GRAMS:
            for start in range(len(whole) - size + 1):
                found[whole[start : start + size]] += weight
    for one, two in pairwise(words):
        found[f"b:{one} {two}"] += 1.0
    return found
