"""What every model is to us: messages and tools in, an answer out."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pydantic import BaseModel

from runtime import Provider

Message = Mapping[str, Any]
"""As Chat Completions writes it."""


class Call(BaseModel):
    """A tool that the model wants to have used."""

    id: str
    name: str
    arguments: str
    """JSON, as the model wrote it: it may be wrong."""


class Answer(BaseModel):
    """What a model said."""

    text: str = ""
    calls: list[Call] = []
    finish: str = "stop"
    """stop, length, tool_calls, content_filter."""
    input_tokens: int = 0
    output_tokens: int = 0

    def message(self) -> dict[str, Any]:
        """Return it as the assistant's message of a conversation."""
        said: dict[str, Any] = {"role": "assistant", "content": self.text or None}
        if self.calls:
            said["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in self.calls
            ]
        return said


class ModelTrouble(Exception):
    """The model gave no answer."""


class ModelAway(ModelTrouble):
    """It may answer when asked again: busy, slow, cut off."""


class ModelRefused(ModelTrouble):
    """It will not answer until somebody changes something; the text says what, for people."""


class Model(Protocol):
    """Something that answers."""

    name: str
    provider: Provider | None
    """Whose limits count; None: nobody's."""

    def most_tokens(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> int:
        """Return how many tokens an answer may take, in and out; 0: it costs nothing."""
        ...

    async def answer(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], seconds: float
    ) -> Answer:
        """Return what it says next.

        Raises:
            ModelAway: asking again may help.
            Throttled: its provider wants not to be asked for a while.
            ModelRefused: it does not.
        """
        ...
