"""One function: a handler, the event it takes, and its policy."""

import difflib
import inspect
import re
import typing
from collections.abc import Awaitable, Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Unpack

from runtime.errors import DeclarationError, InvalidEvent
from runtime.event import Event
from runtime.options import check_options
from runtime.policy import MAXIMUM_HEAD_START_SECONDS, Policy, PolicyOptions
from runtime.signatures import SCHEMES
from runtime.trigger import Cron, Trigger, Webhook
from runtime.webhook import Delivery

if TYPE_CHECKING:
    from runtime.context import Context

E = TypeVar("E", bound=Event)
Handler = Callable[[E, "Context"], Awaitable[Any]]

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


class Function(Generic[E]):
    """A declared function. Still a plain callable: `await hello(Hello(), context)`."""

    def __init__(self, handler: Handler[E], policy: Policy) -> None:
        self.handler = handler
        self.policy = policy
        self.name = handler.__name__
        self.event_type = _event_type(handler)
        self.summary = (inspect.getdoc(handler) or "").partition("\n")[0]
        self.module = handler.__module__
        code = handler.__code__
        self.file, self.line = str(code.co_filename), int(code.co_firstlineno)
        self.namespace = policy.namespace or self.name
        self.asks = policy.asks
        """Whether its attempts have to ask before they start; looked at for each of them."""
        _check(self)

    def __call__(self, event: E, ctx: "Context") -> Awaitable[Any]:
        """Run the handler, as written."""
        return self.handler(event, ctx)

    def __repr__(self) -> str:
        """Show the name and the event."""
        return f"<function {self.name}({self.event_type.__name__})>"

    def lane_key(self, event: Event) -> str | None:
        """Return the lane this event belongs to; None: it stands alone."""
        if self.policy.lane is None:
            return None
        value = getattr(event, self.policy.lane)
        return None if value is None else str(value)

    def head_start_seconds(self, event: Event) -> int:
        """Return how much earlier than it came this event stands in line.

        Raises:
            InvalidEvent: below 0 or over a day.
        """
        name = self.policy.priority
        if name is None:
            return 0
        seconds: int = getattr(event, name)
        if not 0 <= seconds <= MAXIMUM_HEAD_START_SECONDS:
            message = f"0 to {MAXIMUM_HEAD_START_SECONDS} seconds of head start, not {seconds}"
            raise InvalidEvent(f"{name}: {message}", [{"field": name, "message": message}])
        return seconds


def function(**options: Unpack[PolicyOptions]) -> Callable[[Handler[E]], Function[E]]:
    """Declare the function below. It only validates; nothing is opened or read.

    Raises:
        DeclarationError: at import, with a suggestion.
    """
    known = [field.name for field in fields(Policy)]
    for name in options:
        if name not in known:
            raise DeclarationError(
                f"@function has no option {name!r}{suggest(name, known)}."
                f" Options: {', '.join(known)}"
            )
    values: dict[str, Any] = dict(options)
    trigger = values.get("trigger", ())
    values["trigger"] = (trigger,) if isinstance(trigger, Trigger) else trigger
    check_options(values)
    policy = Policy(**values)
    return lambda handler: Function(handler, policy)


def suggest(name: str, known: list[str]) -> str:
    """Return ", did you mean 'x'?" for the nearest known name, or nothing."""
    near = difflib.get_close_matches(name, known, n=1)
    return f", did you mean {near[0]!r}?" if near else ""


def _event_type(handler: Handler[E]) -> type[E]:
    """Return the annotation of the handler's first parameter."""
    name = getattr(handler, "__name__", "?")
    if not inspect.iscoroutinefunction(handler):
        raise DeclarationError(f"{name} must be an `async def`")
    parameters = list(inspect.signature(handler).parameters)
    if len(parameters) != 2:
        raise DeclarationError(f"{name} takes (event, ctx), not ({', '.join(parameters)})")
    found = typing.get_type_hints(handler).get(parameters[0])
    if not (isinstance(found, type) and issubclass(found, Event) and found is not Event):
        raise DeclarationError(
            f"{name}: annotate {parameters[0]!r} with its event, a subclass of runtime.Event"
        )
    return typing.cast("type[E]", found)


def _check(declared: Function[Any]) -> None:
    """Refuse a name or a lane that could not work."""
    if not NAME.fullmatch(declared.name):
        raise DeclarationError(
            f"{declared.name!r}: a function's name is its file, URL and queue;"
            " use small letters, digits and underscores"
        )
    required = [name for name, one in declared.event_type.model_fields.items() if one.is_required()]
    if required and any(isinstance(each, Cron) for each in declared.policy.trigger):
        raise DeclarationError(
            f"{declared.name}: Cron starts it without data, so {', '.join(required)} of"
            f" {declared.event_type.__name__} needs a default"
        )
    for each in declared.policy.trigger:
        if isinstance(each, Webhook):
            _check_webhook(declared, each)
    event, known = declared.event_type.__name__, list(declared.event_type.model_fields)
    for name in declared.policy.fields():
        if name not in known:
            raise DeclarationError(f"{event} has no field {name!r}{suggest(name, known)}")
    priority = declared.policy.priority
    if priority and declared.event_type.model_fields[priority].annotation is not int:
        raise DeclarationError(
            f"priority={priority!r}: write `{priority}: int = 0` in {event}; it is seconds"
        )


def _check_webhook(declared: Function[Any], trigger: Webhook) -> None:
    if trigger.signature not in SCHEMES:
        near = suggest(trigger.signature, list(SCHEMES))
        raise DeclarationError(
            f"{declared.name}: Webhook knows no signature {trigger.signature!r}{near}."
            f" Schemes: {', '.join(SCHEMES)}"
        )
    if not issubclass(declared.event_type, Delivery):
        raise DeclarationError(
            f"{declared.name}: Webhook starts it with a delivery, so"
            f" {declared.event_type.__name__} is a subclass of runtime.Delivery"
        )
    required = {name for name, one in declared.event_type.model_fields.items() if one.is_required()}
    if more := sorted(required - {"delivery_id", "app"}):
        raise DeclarationError(
            f"{declared.name}: a webhook gives delivery_id, app and sender, so {', '.join(more)}"
            " needs a default"
        )
