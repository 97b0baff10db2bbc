"""What every channel can do: take one message, and say what became of it."""

import time
from dataclasses import dataclass
from typing import ClassVar, Protocol
from uuid import UUID

from state.attempts import Sending


class GivenUp(Exception):
    """Too long after its intent: whoever came after us may have sent it already."""


@dataclass(frozen=True)
class Outgoing:
    """One POST to be made."""

    sending: Sending
    attempt: UUID
    to: str
    """The address to use: the conversation's, or its other form."""
    begin_by: float
    """By `now_seconds`: guard D. After this no byte may leave any more."""

    def check_guard(self) -> None:
        """Refuse to begin when the process stood still since the intent.

        Raises:
            GivenUp: it is too late.
        """
        if now_seconds() > self.begin_by:
            raise GivenUp


@dataclass(frozen=True)
class Accepted:
    """The provider has it."""

    wamid: str
    state: str = "accepted"
    """How far it is already."""
    http_status: int | None = None


@dataclass(frozen=True)
class Refused:
    """It was certainly not sent."""

    code: int | None = None
    """The provider's error code; None: it gave none."""
    http_status: int | None = None
    """None: the request did not even reach it."""
    retry_after_seconds: float | None = None
    said: str | None = None
    """What the provider said, for codes that we do not know. Not for logs."""


@dataclass(frozen=True)
class Ambiguous:
    """It may have been sent: only a status, or evidence of its absence, can tell."""

    why: str
    http_status: int | None = None


Outcome = Accepted | Refused | Ambiguous


class Channel(Protocol):
    """A way out of the house."""

    repeatable: ClassVar[bool]
    """Sending the same attempt again is the same send: then nothing is ever ambiguous."""

    async def send(self, outgoing: Outgoing) -> Outcome:
        """Make the call once. Raises nothing that the world outside can cause."""


def now_seconds() -> float:
    """Return the time by a clock that counts suspended time too, and never jumps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
