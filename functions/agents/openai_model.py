"""Any OpenAI-compatible server: Chat Completions, streamed, and put together by hand.

The library's own assembling fails on what compatible servers send (interleaved calls, a missing
index); a stream that was cut raises nothing there. Its retries are off: a retry is the runtime's.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from functions.agents.model import Answer, Call, Message, ModelAway, ModelRefused
from runtime import Provider
from runtime.errors import Throttled
from runtime.retry_after import retry_after_seconds
from runtime.settings import Settings
from state.providers import Limits

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

OUTPUT_TOKENS = 1500
BYTES_PER_TOKEN = 3
"""Of what a model reads, at least: text in our languages has about four, prices and links fewer."""
_clients: dict[tuple[str, str], AsyncOpenAI] = {}

NO_WAIT = {"insufficient_quota", "billing_hard_limit_reached"}


class OpenAIModel:
    """One model of one server, under one key."""

    def __init__(
        self, settings: Settings, name: str, key: str, address: str, limits: Limits
    ) -> None:
        self.name = name
        host = urlsplit(address).hostname or address
        self.provider: Provider | None = Provider(host, address, key, limits)
        self._address = address
        self._settings = settings
        self._key = key

    def most_tokens(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> int:
        """Return an estimate from above; see `Model.most_tokens`."""
        read = json.dumps([*messages, *tools], ensure_ascii=False)
        return len(read.encode()) // BYTES_PER_TOKEN + OUTPUT_TOKENS

    async def answer(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], seconds: float
    ) -> Answer:
        """Ask the server; see `Model.answer`."""
        # 30 MB and up to a second: only where a model is really asked, and beside the loop.
        if "openai" not in sys.modules:
            await asyncio.to_thread(import_module, "openai")
        import openai

        body: dict[str, Any] = {
            "model": self.name,
            "messages": list(messages),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if tools:
            body["tools"] = list(tools)
        if self._settings.openai_output_limit != "none":
            body[self._settings.openai_output_limit] = OUTPUT_TOKENS
        client = _client(self._address, self._key)
        try:
            # Chunks as they are: models of what we sent and got would cost 2.5 ms an answer.
            # The library's time limit is for one read; a stream may trickle for ever.
            async with asyncio.timeout(seconds):
                stream = await client.post(
                    "/chat/completions",
                    body=body,
                    cast_to=object,
                    options={"timeout": seconds},
                    stream=True,
                    stream_cls=openai.AsyncStream[object],
                )
                async with stream:
                    return await _assembled(stream)
        except TimeoutError:
            raise ModelAway("the model did not finish in time") from None
        except openai.APIConnectionError as error:
            raise ModelAway(f"the model does not answer ({type(error).__name__})") from None
        except openai.APIStatusError as error:
            raise _trouble(error, self.name) from None
        except openai.APIError as error:
            raise ModelAway(f"the model broke off ({type(error).__name__})") from None
        except ValueError:  # a chunk that is no JSON
            raise ModelAway("the model's answer cannot be read") from None


def _client(base_url: str, key: str) -> AsyncOpenAI:
    from openai import AsyncOpenAI

    found = _clients.get((base_url, key))
    if found is None:
        found = AsyncOpenAI(api_key=key or "none", base_url=base_url, max_retries=0)
        _clients[base_url, key] = found
    return found


def _trouble(error: APIStatusError, model: str) -> ModelAway | ModelRefused | Throttled:
    """Return what an error of the server means. OpenAI, "Error codes"."""
    status, code = error.status_code, error.code
    if code in NO_WAIT:
        return ModelRefused("the model's account has no credit left: top it up at the provider")
    if status in (401, 403):
        return ModelRefused(
            "the model's key is not accepted: set OPENAI_API_KEY, or the shop's key"
        )
    if status == 404:
        return ModelRefused(
            f"the server knows no model {model!r}: set OPENAI_MODEL, or correct OPENAI_BASE_URL"
        )
    if status in (400, 422):
        return ModelRefused(f"the model refused the request ({code or status})")
    if status in (429, 503):
        seconds = retry_after_seconds(error.response.headers, datetime.now(UTC))
        if seconds is not None:
            return Throttled(seconds)
    return ModelAway(f"the model is busy ({status})")


async def _assembled(stream: AsyncIterator[Any]) -> Answer:
    """Put a stream together; any part of a chunk may be missing.

    Raises:
        ModelAway: it was cut off before its end, or was no stream at all.
    """
    answer, slots = Answer(finish=""), _Slots()
    async for chunk in stream:
        if not isinstance(chunk, dict):
            continue
        if usage := chunk.get("usage"):
            answer.input_tokens = usage.get("prompt_tokens") or 0
            answer.output_tokens = usage.get("completion_tokens") or 0
        for choice in (chunk.get("choices") or [])[:1]:
            delta = choice.get("delta") or {}
            answer.text += delta.get("content") or delta.get("refusal") or ""
            for piece in delta.get("tool_calls") or []:
                slots.take(piece)
            answer.finish = choice.get("finish_reason") or answer.finish
    if not answer.finish:
        raise ModelAway("the answer was cut off")
    answer.calls = slots.calls()
    return answer


class _Slots:
    """Tool calls that arrive in pieces: by index, or, without one, each new id opens a slot."""

    def __init__(self) -> None:
        self._calls: dict[Any, Call] = {}
        self._last: Any = None

    def take(self, piece: dict[str, Any]) -> None:
        slot = piece.get("index")
        if slot is None:
            slot = piece.get("id") or self._last
        self._last = slot
        call = self._calls.setdefault(slot, Call(id="", name="", arguments=""))
        call.id = call.id or piece.get("id") or ""
        function = piece.get("function") or {}
        call.name = call.name or function.get("name") or ""
        call.arguments += function.get("arguments") or ""

    def calls(self) -> list[Call]:
        """Return them in order; a call without an id gets one."""
        for number, call in enumerate(self._calls.values()):
            call.id = call.id or f"call_{number}"
        return list(self._calls.values())
