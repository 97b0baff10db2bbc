"""What a shopper asks, as far as a script can tell: words, sizes, colours, topics."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from functions.agents.embedding import STOP, folded

WORD = re.compile(r"[a-z0-9]+(?:/[0-9]+)?")
LETTER_SIZES = frozenset({"s", "m", "l", "xl", "xxl"})
NUMBER_SIZE = re.compile(r"(?:2[89]|3\d|4[0-6])")
MEASURE = re.compile(r"\b\d{2}(?:[.,]\d)?\s*cm\b")

CHEAPEST = "barat economic cheap"
SYNONYMS = {
    # what a shop writes of it, in its own words
    "fault": "fallas garantia",
    "abroad": "exterior",
}
TOPICS = {
    # the first one that fits; each word stands for all words that begin like it
    "fault": "roto rota rompi defect fall danad quebrad defeit broken faulty",
    "abroad": "exterior uruguay chile brasil brazil paraguay bolivia peru mexico colombia espana"
    " abroad overseas internacional",
    "person": "persona humano asesor vendedor reclam queja atendente human",
    "exchange": "cambi devol devuelv garant arrepent troc return",
    "shipping": "envi manda tarda demor llega seguim despach frete ship",
    "payment": "pago pagar cuota tarjeta transfer efectivo factura mercado",
    "store": "horari local abren abiert cierra direccion queda showroom",
    "wholesale": "mayor revend atacado wholesale",
    "size": "guia medida mide cintura",
    "gift": "regalo envolt gift",
    "original": "original autentic truch",
    "reserve": "reserv guard aparta",
}
GREETINGS = ("hola", "buenas", "buen", "buenos", "hey", "holis", "oi", "ola", "hello", "hi")
THANKS = ("gracias", "genial", "perfecto", "obrigad", "thanks", "joya", "dale")
POLITE = ("como", "va", "todo", "muchas", "tardes", "noches")
COMMON = STOP | set(
    " ".join(
        (
            "precio cuesta sale vale cuanto tenes hay talle talles numero color stock queda quedan",
            "disponible algo alguna algun ver mostrame pasame info dia dias tal bien hacen venden",
            "vende podes puedo",
        )
    ).split()
)


@dataclass(frozen=True)
class Question:
    """What was asked, in small letters and without accents."""

    text: str

    @classmethod
    def of(cls, written: str) -> "Question":
        """Read what a shopper wrote."""
        return cls(folded(written))

    @cached_property
    def words(self) -> list[str]:
        """Every word."""
        return WORD.findall(self.text)

    @cached_property
    def measure(self) -> str | None:
        """A length as guides write it, e.g. `24,4 cm`; None: none was named."""
        found = MEASURE.search(self.text)
        return " ".join(found[0].replace(".", ",").replace("cm", " cm").split()) if found else None

    @cached_property
    def topic(self) -> str | None:
        """What it is about besides products; None: nothing that is known."""
        if self.measure is not None:
            return "size"
        for topic, beginnings in TOPICS.items():
            if any(word.startswith(tuple(beginnings.split())) for word in self.words):
                return topic
        return None

    @cached_property
    def size(self) -> str | None:
        """A size, as variants write it; None: none was named."""
        for word in self.words:
            if NUMBER_SIZE.fullmatch(word):
                return word
        named = re.search(r"\b(?:talle|talla|en|tamanho|size)\s+(xxl|xl|s|m|l)\b", self.text)
        if named:
            return named[1].upper()
        last = self.words[-1] if self.words else ""
        return last.upper() if last in LETTER_SIZES and len(self.words) > 1 else None

    @cached_property
    def cheapest(self) -> bool:
        """Whether the lowest price is asked for."""
        return any(word.startswith(tuple(CHEAPEST.split())) for word in self.words)

    @cached_property
    def matter(self) -> list[str]:
        """Words that say what is looked for."""
        return [
            word
            for word in self.words
            if word not in COMMON and word not in LETTER_SIZES and not word.isdigit()
        ]

    @property
    def in_the_shops_words(self) -> "Question":
        """The question, with the words that a shop writes of such a topic."""
        return Question(f"{self.text} {SYNONYMS.get(self.topic or '', '')}".strip())

    @property
    def greeting(self) -> bool:
        """Whether it is a greeting and nothing else."""
        return bool(self.words) and len(self.words) <= 4 and self._only(GREETINGS)

    @property
    def thanks(self) -> bool:
        """Whether it is thanks and nothing else."""
        return bool(self.words) and len(self.words) <= 5 and self._only(THANKS)

    def named(self, options: Iterable[str]) -> str | None:
        """Return which of these (colours, for instance) is named; None: none is."""
        for option in options:
            stem = _stem(folded(option))
            if len(stem) > 2 and any(_stem(word) == stem for word in self.words):
                return option
        return None

    def shared(self, text: str) -> int:
        """Return how many words of matter a text has, by their stems."""
        stems = {_stem(word) for word in WORD.findall(folded(text))}
        return sum(any(alike(_stem(word), stem) for stem in stems) for word in self.matter)

    def _only(self, beginnings: tuple[str, ...]) -> bool:
        return self.words[0].startswith(beginnings) and not [
            word for word in self.matter if not word.startswith((*beginnings, *POLITE))
        ]


def alike(one: str, other: str) -> bool:
    """Say whether two stems are the same word, one slip of the finger aside.

    >>> alike("zapatill", "zapatil"), alike("remer", "pantal"), alike("bot", "botin")
    (True, False, False)
    """
    if one == other:
        return True
    if min(len(one), len(other)) < 5 or abs(len(one) - len(other)) > 1:
        return False
    short, long = sorted((one, other), key=len)
    place = next((i for i, letter in enumerate(short) if letter != long[i]), len(short))
    skip = len(long) > len(short)
    return short[place + (not skip) :] == long[place + 1 :]


def _stem(word: str) -> str:
    """Return a word without what tells one from many, and him from her.

    >>> _stem("negras") == _stem("negro"), _stem("camiones") == _stem("camion")
    (True, True)
    """
    for ending in ("es", "as", "os", "s", "a", "o", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word
