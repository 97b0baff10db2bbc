"""Whether a message may go out now: looked at in the moment of sending, not when it was written."""

from dataclasses import dataclass

from runtime.errors import ConfigurationError
from runtime.settings import Settings
from state.attempts import Sending
from state.rules.consent import may_send
from state.rules.hours import opens_at
from state.rules.window import is_open

STOPPED_SECONDS = 60.0
"""How often a stopped channel is looked at."""
UNFINISHED = ("pending", "sending")


@dataclass(frozen=True)
class Never:
    """It is not sent, and why."""

    state: str
    """`withheld` or `failed`."""
    problem: str


@dataclass(frozen=True)
class Later:
    """Not now."""

    seconds: float
    in_line: bool
    """Whether what comes after it in the conversation waits too."""


def permission(sending: Sending, *, agents_enabled: bool) -> Never | Later | None:
    """Say what stands against sending; None: nothing does."""
    if sending.author == "agent":
        if sending.holder == "person" and not sending.farewell:
            return Never("withheld", "a person has taken over the conversation")
        if not agents_enabled:
            return Never("withheld", "agents are switched off (NEXUS_V3_ENABLED)")
        if not sending.agent:
            return Never("withheld", "the agent is switched off for this number")
    if not may_send(sending.class_, sending.opted_out):
        return Never("withheld", "this person has asked for no marketing")
    if not is_open(sending.window_until, sending.now):
        return Never("failed", "24 hours have passed since this person wrote: it needs a template")
    if sending.stopped is not None:
        return Later(STOPPED_SECONDS, in_line=True)
    if sending.class_ != "reply":
        wait = opens_at(sending.hours, sending.zone, sending.now) - sending.now
        if wait.total_seconds() > 0:
            return Later(wait.total_seconds(), in_line=False)
    return None


def check_times(settings: Settings) -> None:
    """Refuse times under which a send could be repeated while its first copy is on the way.

    Raises:
        ConfigurationError: says which settings to change.
    """
    longest = settings.send_guard_seconds + settings.send_timeout_seconds
    if longest >= settings.send_evidence_seconds:
        raise ConfigurationError(
            "NEXUS_SEND_GUARD_SECONDS + NEXUS_SEND_TIMEOUT_SECONDS"
            f" ({longest:g}) must be less than NEXUS_SEND_EVIDENCE_SECONDS"
            f" ({settings.send_evidence_seconds:g}): else a message could be sent twice"
        )
