"""What can go wrong in the runtime, as one tree.

RuntimeFault
  ConfigurationError     a setting is missing or wrong (exit code 78)
  DeclarationError       a function is declared wrongly (fails at import)
  UnknownFunction        nobody declared that name
  InvalidEvent           the data does not fit the function's event
    NewerEvent           it has fields or values that this version does not know
  EventTooLarge          the event is over one megabyte
  KeyConflict            an idempotency key was used for something else
  ServerAway             Postgres (or another needed server) does not answer (exit code 69)
  LeaseLost              this worker was declared dead; its work belongs to others now
  ShopForbidden          a shop's invocation reached for another shop
  StepError              a step was used in a way that could double an effect
  CallError              a child may not be called like that
  ChildFailed            a child ended as dead or cancelled
  ReplayRefused          an invocation cannot be run again like that
  EmitError              a chunk has no JSON form, or is too large
  BudgetSpent            a paid call does not fit into what is left of a budget
  Throttled              a provider wants not to be asked for a while; raised by who asked it
  ProviderBusy           a provider lets a call in later than its caller can wait
Verdict                  raised by a function about itself
  Cancel                 never run this again
  Snooze                 run it again later; not a failed attempt
"""

from typing import Any


class RuntimeFault(Exception):
    """Something went wrong in the runtime."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").splitlines()[0])


class ConfigurationError(RuntimeFault):
    """A setting is missing or wrong."""


class DeclarationError(RuntimeFault):
    """A function is declared wrongly."""


class UnknownFunction(RuntimeFault):
    """Nobody declared that function."""


class InvalidEvent(RuntimeFault):
    """The data does not fit the function's event."""

    def __init__(self, message: str, problems: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.problems = problems or []
        """One entry per wrong field: `{"field": "name", "message": "…"}`."""


class NewerEvent(InvalidEvent):
    """The event has fields, or values of an enum, that this version does not know."""


class EventTooLarge(RuntimeFault):
    """The event is over one megabyte."""


class KeyConflict(RuntimeFault):
    """The idempotency key was used before, with other data."""


class ServerAway(RuntimeFault):
    """A needed server does not answer."""


class LeaseLost(RuntimeFault):
    """This worker was declared dead; its work belongs to others now."""


class ShopForbidden(RuntimeFault):
    """Only the installation's own invocations may work for other shops."""


class StepError(RuntimeFault):
    """A step was used in a way that could double an effect."""


class CallError(RuntimeFault):
    """A child may not be called like that."""


class ChildFailed(RuntimeFault):
    """A function that was called ended as dead or cancelled."""

    def __init__(self, child: str, state: str, reason: str) -> None:
        super().__init__(f"{child} ended as {state}: {reason}")
        self.child = child
        """Its id, `inv_…`."""
        self.state = state
        """dead or cancelled."""
        self.reason = reason


class ReplayRefused(RuntimeFault):
    """An invocation cannot be run again like that."""


class EmitError(RuntimeFault):
    """A chunk has no JSON form, or is too large."""


class BudgetSpent(RuntimeFault):
    """A paid call does not fit into what is left of a budget; it was not made."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"the call does not fit into what is left of the budget of the {scope}")
        self.scope = scope
        """run, conversation or day."""


class Throttled(RuntimeFault):
    """A provider wants not to be asked for a while. Raise it inside of `ctx.asking`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"not to be asked for {seconds:g} s")
        self.seconds = seconds


class ProviderBusy(RuntimeFault):
    """A provider lets a call in later than its caller can wait; it was not made."""

    def __init__(self, host: str, seconds: float) -> None:
        super().__init__(f"{host} has no room for another {seconds:.1f} s")
        self.seconds = seconds
        """Until it has."""


class Verdict(Exception):
    """What a function decides about its own invocation."""


class Cancel(Verdict):
    """Never run this invocation again."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Snooze(Verdict):
    """Run this invocation again later, without counting a failed attempt."""

    def __init__(self, seconds: float, reason: str = "") -> None:
        if seconds <= 0:
            raise ValueError(f"Snooze needs seconds above 0, got {seconds}")
        super().__init__(reason or f"snoozed for {seconds} s")
        self.seconds = seconds
        self.reason = reason
