"""The demo model: no key, no account. It answers from what was recalled alone, and says what it is.

It goes through the same loop, tools and checks as any other model; what recall did not find it
looks up once, in the shop's own words.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from functions.agents.demo.question import Question, about
from functions.agents.demo.topics import PERSON
from functions.agents.demo.wares import (
    COLOUR_NAMES,
    OFFERED,
    SIZE_NAMES,
    colours,
    fitting,
    option,
    price_of,
    read,
    sizes,
    variants_of,
)
from functions.agents.demo.wording import SAYS
from functions.agents.desk import Desk
from functions.agents.model import Answer, Call, Message
from functions.agents.tools import HAND_OVER, SEARCH_KNOWLEDGE, SEARCH_PRODUCTS
from runtime import Provider

PASSAGE_LIMIT = 420


class DemoModel:
    """A script that reads what it is shown."""

    name = "demo"
    provider: Provider | None = None

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._says = SAYS[desk.agent.language]

    def most_tokens(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> int:
        """Return 0: it costs nothing."""
        return 0

    async def answer(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], seconds: float
    ) -> Answer:
        """Return what the script says next."""
        asked = [one["content"] for one in messages if one["role"] == "user"]
        question = Question.of(asked[-1])
        if question.topic is PERSON:
            return _calls(HAND_OVER, reason="asked for a person", summary=asked[-1][:200])
        told = [one["content"] or "" for one in messages if one["role"] == "system"]
        results = [one["content"] for one in messages if one["role"] == "tool"]
        products, passages = read([*told[1:], *results])  # the first one are our own rules
        if not results and (look := _look_up(question, passages)):
            return look
        text = self._reply(question, products, passages)
        if not any(one["role"] == "assistant" and one["content"] for one in messages):
            text = f"{text}\n\n{self._says['demo']}"
        return Answer(text=text)

    def _reply(
        self,
        question: Question,
        products: Sequence[dict[str, Any]],
        passages: Sequence[tuple[str, str]],
    ) -> str:
        if question.greeting:
            return self._says["hello"].format(shop=self._desk.agent.shop)
        if question.thanks:
            return self._says["thanks"]
        # Of equally good ones the first: recall has put them in their order.
        best = max(passages, key=question.answered_by, default=None)
        if question.topic is not None and best and any(question.answered_by(best)):
            return f"{self._passage(question, best)}\n\n{self._says['more']}"
        wanted = fitting(question.in_the_shops_words, products)
        if wanted:
            return self._products(question.in_the_shops_words, wanted, question.size)
        if passages and question.shared(" ".join(passages[0])):
            return f"{self._passage(question, passages[0])}\n\n{self._says['more']}"
        return self._says["unknown"]

    def _passage(self, question: Question, passage: tuple[str, str]) -> str:
        """Return the lines of a passage that answer, or the passage."""
        title, body = passage
        lines = [line.lstrip("- ").strip() for line in body.splitlines() if line.strip()]
        listed = [line for line in body.splitlines() if line.startswith("- ")]
        exact = [line for line in listed if _has(line, question)]
        hit = exact or [line for line in listed if question.shared(line)]
        if hit:
            return (
                f"{title.rpartition(' > ')[2]}: "
                + "; ".join(line.removeprefix("- ").rstrip(".") for line in hit[:3])
                + "."
            )
        text = " ".join(lines)
        if len(text) <= PASSAGE_LIMIT:
            return text
        cut = text[:PASSAGE_LIMIT]
        return cut[: max(cut.rfind(". ") + 1, cut.rfind("; ") + 1)] or cut

    def _products(
        self, question: Question, wanted: Sequence[dict[str, Any]], size: str | None
    ) -> str:
        colour = question.named(colours(wanted))
        there = [(one, variants_of(one, size, colour)) for one in wanted]
        there = [(one, variants) for one, variants in there if variants]
        if question.cheapest:
            there.sort(key=lambda pair: min(map(price_of, pair[1])))
        says = self._says
        if there:
            lines = [self._line(one, variants, size) for one, variants in there[:OFFERED]]
            return "\n".join([says["found"], *lines, "", says["which"]])
        others = [(one, variants_of(one, None, None)) for one in wanted]
        lines = [self._line(one, variants, None) for one, variants in others[:OFFERED] if variants]
        none = says["none"].format(what=self._asked_for(wanted, size, colour))
        return "\n".join([none, says["instead"], *lines] if lines else [none])

    def _asked_for(
        self, wanted: Sequence[dict[str, Any]], size: str | None, colour: str | None
    ) -> str:
        if size is None and colour is None:
            return str(wanted[0]["name"])
        parts = [wanted[0]["name"] if len(wanted) == 1 else self._says["asked"], size, colour]
        return " ".join(filter(None, parts))

    def _line(
        self, product: dict[str, Any], variants: Sequence[dict[str, Any]], size: str | None
    ) -> str:
        says, first = self._says, variants[0]
        price = says["offer" if "offer" in first else "price"].format(
            price=first.get("price", "?"), offer=first.get("offer")
        )
        parts = [f"{product['name']}: {price}"]
        if size is None and (there := sizes(variants)):
            parts.append(says["sizes"].format(sizes=", ".join(there)))
        hues = list(dict.fromkeys(filter(None, (option(v, COLOUR_NAMES) for v in variants))))
        if hues:
            parts.append(says["colours"].format(colours=", ".join(hues).lower()))
        if size is not None and any(option(v, SIZE_NAMES) for v in variants):
            parts.insert(1, says["sizes"].format(sizes=", ".join(sizes(variants))))
        return "• " + ", ".join(parts)


def _look_up(question: Question, passages: Sequence[tuple[str, str]]) -> Answer | None:
    """Return what is to be looked up in the shop's own words; None: recall is enough.

    Whoever asks in other words, or another language, is often not understood by recall.
    """
    topic, ours = question.topic, question.in_the_shops_words
    if topic is not None:
        if any(about(topic, one) for one in passages):
            return None
        return _calls(SEARCH_KNOWLEDGE, query=f"{topic.told} {question.text}")
    return None if ours is question else _calls(SEARCH_PRODUCTS, query=ours.text)


def _calls(name: str, **arguments: str) -> Answer:
    call = Call(id="call_0", name=name, arguments=json.dumps(arguments, ensure_ascii=False))
    return Answer(calls=[call], finish="tool_calls")


def _has(line: str, question: Question) -> bool:
    """Say whether a line has the size or the measure that was named (`38: 24,4 cm`)."""
    if question.measure is not None:
        return question.measure in line.replace(".", ",")
    return question.size is not None and line.lstrip("- ").startswith(f"{question.size}:")
