"""The demo model: no key, no account. It answers from recalled rows alone, and says what it is."""

from collections.abc import Mapping, Sequence
from typing import Any

from functions.agents.desk import Desk
from functions.agents.model import Answer, Message

SAYS = {
    "es": "(modelo de demostración)",
    "pt": "(modelo de demonstração)",
    "en": "(demo model)",
}


class DemoModel:
    """Scripted: see `answer`."""

    name = "demo"

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def answer(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], seconds: float
    ) -> Answer:
        """Return what the script says."""
        language = self._desk.agent.language
        return Answer(text=f"Hola {SAYS[language]}")
