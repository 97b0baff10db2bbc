"""What a shopper asks, as far as a script can tell: words, sizes, colours, topics."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from functions.agents.demo.topics import SIZE, TOPICS, WARES, Topic
from functions.agents.embedding import STOP, folded

WORD = re.compile(r"[a-z0-9]+(?:/[0-9]+)?")
LETTER_SIZES = frozenset({"s", "m", "l", "xl", "xxl"})
NUMBER_SIZE = re.compile(r"(?:2[89]|3\d|4[0-6])")
MEASURE = re.compile(r"\b\d{2}(?:[.,]\d)?\s*cm\b")

CHEAPEST = "barat economic cheap"
GREETINGS = ("hola", "buenas", "buen", "buenos", "hey", "holis", "oi", "ola", "hello", "hi")
THANKS = ("gracias", "genial", "perfecto", "obrigad", "thanks", "joya", "dale")
POLITE = ("como", "va", "todo", "muchas", "tardes", "noches")
COMMON = STOP | set(
    " ".join(
        (
            "precio cuesta sale vale cuanto tenes hay talle talles numero color stock queda quedan",
            "disponible algo alguna algun ver mostrame pasame info dia dias tal bien hacen venden",
            "vende podes puedo posso pode voce voces tem onde fica",
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
    def topic(self) -> Topic | None:
        """What it is about besides products; None: nothing that is known."""
        if self.measure is not None:
            return SIZE
        return next((topic for topic in TOPICS if topic.fits(self.words)), None)

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

    @cached_property
    def in_the_shops_words(self) -> "Question":
        """The question, and beside others' names of wares the shop's own."""
        ours = [SHOPS[_stem(word)] for word in self.words if _stem(word) in SHOPS]
        return Question(" ".join([self.text, *ours])) if ours else self

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
        return common(self.matter, text)

    def answered_by(self, passage: tuple[str, str]) -> tuple[bool, int]:
        """Return how well a passage answers: whether it is on the topic, and words in common."""
        on_topic = self.topic is not None and about(self.topic, passage)
        return on_topic, self.shared(" ".join(passage))

    def _only(self, beginnings: tuple[str, ...]) -> bool:
        return self.words[0].startswith(beginnings) and not [
            word for word in self.matter if not word.startswith((*beginnings, *POLITE))
        ]


def about(topic: Topic, passage: tuple[str, str]) -> bool:
    """Say whether a passage is about a topic."""
    told = topic.told.split()
    return common(told, " ".join(passage)) == len(told)


def common(words: Iterable[str], text: str) -> int:
    """Return how many of the words a text has, by their stems.

    >>> common(["zapatiyas", "lana"], "Zapatillas de cuero")
    1
    """
    stems = {_stem(word) for word in WORD.findall(folded(text))}
    return sum(any(alike(_stem(word), stem) for stem in stems) for word in words)


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
    """Return a word as it sounds, without what tells one from many, and him from her.

    >>> _stem("negras") == _stem("negro"), _stem("camiones") == _stem("camion")
    (True, True)
    >>> _stem("zapatiyas") == _stem("zapatillas"), _stem("votas") == _stem("botas")
    (True, True)
    """
    for letters, sound in SOUNDS:
        word = letters.sub(sound, word)
    for ending in ("es", "as", "os", "s", "a", "o", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


SOUNDS = tuple(
    (re.compile(letters), sound)
    for letters, sound in (("ll", "y"), ("v", "b"), ("z|c(?=[ei])", "s"), ("(?<!c)h", ""))
)
"""Letters that sound the same from Ushuaia to Caracas, in their order."""
SHOPS = {_stem(theirs): ours for theirs, ours in WARES.items()}
