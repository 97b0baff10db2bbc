"""How a function is run: declared once, above the handler, as data."""

import math
import random
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypedDict

from runtime.declared import check_numbers
from runtime.errors import DeclarationError
from runtime.limits import Concurrency, Rate
from runtime.trigger import Trigger

SERVICES = ("agent", "whatsapp", "tiendanube")
"""What may run on another host as a whole; `<NAME>_SERVICE_URL` says where."""
MAXIMUM_TIMEOUT_SECONDS = 300
MAXIMUM_DEADLINE_SECONDS = 2_592_000
MAXIMUM_HEAD_START_SECONDS = 86_400


@dataclass(frozen=True)
class Retry:
    """How often, and how far apart, a failed attempt is repeated.

    >>> [Retry().base_delay_seconds(failed) for failed in (1, 2, 3, 4, 5, 6)]
    [1.0, 4.0, 16.0, 60.0, 300.0, 300.0]
    """

    attempts: int = 8
    steps_seconds: tuple[float, ...] = (1.0, 4.0, 16.0, 60.0, 300.0)
    on: tuple[type[BaseException], ...] | None = None
    """Errors worth repeating; any other is final at once. None: all are. An attempt that took
    too long failed by `TimeoutError`."""

    def __post_init__(self) -> None:
        """Refuse what can never work."""
        check_numbers(self)
        if self.attempts < 1:
            raise DeclarationError(f"Retry(attempts={self.attempts}): at least 1")
        if not _are_delays(self.steps_seconds):
            raise DeclarationError(
                f"Retry(steps_seconds={self.steps_seconds!r}): one or more delays, none below 0,"
                " as steps_seconds=(1, 60)"
            )
        if self.on is not None and not _are_errors(self.on):
            raise DeclarationError(
                f"Retry(on={self.on!r}): a tuple of exceptions; did you mean"
                " on=(TimeoutError, ConnectionError)?"
            )

    def helps(self, error: BaseException | None) -> bool:
        """Say whether an attempt that failed by this may go better; None: a bad result."""
        return self.on is None or isinstance(error, self.on)

    def base_delay_seconds(self, failed: int) -> float:
        """Return the wait after the `failed`-th failure (from 1), without jitter."""
        return self.steps_seconds[min(failed, len(self.steps_seconds)) - 1]

    def delay_seconds(self, failed: int) -> float:
        """Return the wait with jitter: between 0.8 and 1.2 of the base delay."""
        return self.base_delay_seconds(failed) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter


@dataclass(frozen=True)
class Merge:
    """Several events of one lane in quick succession are one run.

    The run starts when nothing came for `quiet_seconds`, at the latest `cap_seconds` after the
    first event. The handler gets the newest event; `ctx.merged` holds the earlier ones.
    """

    quiet_seconds: float
    cap_seconds: float

    def __post_init__(self) -> None:
        """Refuse a cap that ends before the quiet time."""
        check_numbers(self)
        if self.quiet_seconds < 0 or self.cap_seconds < self.quiet_seconds:
            raise DeclarationError("Merge needs 0 <= quiet_seconds <= cap_seconds")


@dataclass(frozen=True)
class Supersede:
    """Only the newest event of a lane counts: it ends those that wait, and the one that runs.

    They end as cancelled and say so. The running handler sees `CancelledError`, at the latest a
    second after the newer event came; what its steps and transactions have done stays.
    """

    quiet_seconds: ClassVar[float] = 0.0
    cap_seconds: ClassVar[float] = 1e9


@dataclass(frozen=True)
class Steer:
    """A new event of a lane reaches the handler that runs, through `ctx.inbox`.

    What the handler took counts as handled when it ends well, in the same commit. What it did not
    take, or took and then failed, runs next as an ordinary event.
    """

    quiet_seconds: ClassVar[float] = 0.0
    cap_seconds: ClassVar[float] = 0.0


@dataclass(frozen=True)
class Scale:
    """How many worker processes may serve a function. Locally one worker serves all."""

    minimum: int = 0
    maximum: int = 4

    def __post_init__(self) -> None:
        """Refuse an empty range."""
        check_numbers(self)
        if not 0 <= self.minimum <= self.maximum or self.maximum < 1:
            raise DeclarationError("Scale needs 0 <= minimum <= maximum, and maximum of 1 or more")


@dataclass(frozen=True)
class Process:
    """Attempts run in processes of their own, forked from one that has imported the functions."""

    memory_mb: int = 512
    """What a process may take besides what it has at its start; it is replaced after an attempt
    that leaves it with more than half of that."""
    cpu_seconds: float | None = None
    """CPU that one attempt may use, in all threads. None: only its `timeout` ends it."""
    attempts: int = 1000
    """A process is replaced after so many."""
    processes: int = 4
    """At most so many of this function in one worker: no more attempts run at once."""

    def __post_init__(self) -> None:
        """Refuse limits under which nothing could run."""
        check_numbers(self)
        if self.memory_mb < 64:
            raise DeclarationError(f"Process(memory_mb={self.memory_mb}): at least 64")
        if self.cpu_seconds is not None and self.cpu_seconds < 1:
            raise DeclarationError(f"Process(cpu_seconds={self.cpu_seconds:g}): at least 1")
        for name in ("attempts", "processes"):
            if getattr(self, name) < 1:
                raise DeclarationError(f"Process({name}={getattr(self, name)}): at least 1")


def _are_delays(given: object) -> bool:
    return (
        isinstance(given, tuple)
        and bool(given)
        and all(type(one) in (int, float) and 0 <= one < math.inf for one in given)
    )


def _are_errors(given: object) -> bool:
    return (
        isinstance(given, tuple)
        and bool(given)
        and all(isinstance(one, type) and issubclass(one, BaseException) for one in given)
    )


class PolicyOptions(TypedDict, total=False):
    """The keywords of `@function(…)`."""

    timeout: float
    retry: Retry
    lane: str
    namespace: str
    burst: Merge | Supersede | Steer
    deadline: float
    priority: str
    concurrency: int | Concurrency
    rate: Rate
    scale: Scale
    isolation: Literal["task", "process"] | Process
    trigger: Trigger | tuple[Trigger, ...]
    aliases: tuple[str, ...]
    service: Literal["agent", "whatsapp", "tiendanube"]


@dataclass(frozen=True)
class Policy:
    """One function's policy, checked and complete."""

    timeout: float = 60
    """Seconds that one attempt may take."""
    retry: Retry = field(default_factory=Retry)
    lane: str | None = None
    """Field of the event whose value names the lane; None in that field: no lane."""
    namespace: str | None = None
    """Lanes are shared by all functions that name the same namespace. None: the function's name."""
    burst: Merge | Supersede | Steer | None = None
    deadline: float | None = None
    """Seconds after an event was due; later, no attempt of it starts. None: never too late."""
    priority: str | None = None
    """Field of the event: whole seconds of head start over others that are due."""
    concurrency: int | Concurrency = 200
    """Attempts at once in one worker process; `Concurrency`: by key and in all processes too."""
    rate: Rate | None = None
    """How many attempts may start in a time. None: as many as come."""
    scale: Scale = field(default_factory=Scale)
    isolation: Literal["task", "process"] | Process = "task"
    """On the worker's event loop, or in a process of its own. `"process"`: `Process()`."""
    trigger: tuple[Trigger, ...] = ()
    aliases: tuple[str, ...] = ()
    """Former names, so that invocations in flight still find the function after a rename."""
    service: Literal["agent", "whatsapp", "tiendanube"] | None = None
    """Runs on the host that `<SERVICE>_SERVICE_URL` names, where that is set. None: always here."""

    def fields(self) -> list[str]:
        """Return the names of fields of the event that this policy needs."""
        permits = self.permits
        by_rate = self.rate.key if self.rate else None
        named = (self.lane, self.priority, permits.key if permits else None, by_rate)
        return [name for name in named if name is not None]

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if not 0 < self.timeout <= MAXIMUM_TIMEOUT_SECONDS:
            raise DeclarationError(
                f"timeout={self.timeout}: above 0 and up to {MAXIMUM_TIMEOUT_SECONDS} s"
            )
        if self.deadline is not None and not 0 < self.deadline <= MAXIMUM_DEADLINE_SECONDS:
            raise DeclarationError(
                f"deadline={self.deadline}: above 0 and up to {MAXIMUM_DEADLINE_SECONDS} s"
                " (30 days); leave it out if work is never too late"
            )
        if self.service is not None and self.service not in SERVICES:
            raise DeclarationError(f"service={self.service!r}: one of {', '.join(SERVICES)}")
        self._check_limits()
        if self.isolation not in ("task", "process") and not isinstance(self.isolation, Process):
            raise DeclarationError(
                f'isolation={self.isolation!r}: "task", "process" or Process(memory_mb=…)'
            )
        if isinstance(self.burst, Steer) and self.isolation != "task":
            raise DeclarationError(
                'burst=Steer() hands events to a running handler, so it needs isolation="task"'
            )
        if self.burst and not isinstance(self.burst, (Merge, Supersede, Steer)):
            raise DeclarationError(
                f"burst={self.burst!r}: did you mean Merge(quiet_seconds=2, cap_seconds=20),"
                " Supersede() or Steer()?"
            )
        if self.priority and isinstance(self.burst, Merge):
            raise DeclarationError(
                "priority=… does nothing beside Merge, which waits for a quiet time; leave it out"
            )
        if self.burst and not self.lane:
            raise DeclarationError("burst=… needs lane=…: it is about events of one lane")
        if self.namespace and not self.lane:
            raise DeclarationError("namespace=… needs lane=…")

    def _check_limits(self) -> None:
        if self.rate is not None and not isinstance(self.rate, Rate):
            raise DeclarationError(
                f"rate={self.rate!r}: did you mean Rate({self.rate}, per_seconds=1)?"
            )
        if isinstance(self.concurrency, Concurrency):
            return
        if type(self.concurrency) is not int:  # True is one, else
            raise DeclarationError(
                f"concurrency={self.concurrency!r}: a number, or"
                ' Concurrency(key="field", per_key=1, fleet=50)'
            )
        if self.concurrency < 1:
            raise DeclarationError(f"concurrency={self.concurrency}: at least 1")

    @property
    def in_process(self) -> int:
        """Attempts at once in one worker process, as declared."""
        limit = self.concurrency
        return limit.process if isinstance(limit, Concurrency) else limit

    @property
    def permits(self) -> Concurrency | None:
        """Limits of attempts at once beyond one process; None: there are none."""
        return self.concurrency if isinstance(self.concurrency, Concurrency) else None

    @property
    def asks(self) -> bool:
        """Whether an attempt has to ask before it starts."""
        return not (self.deadline is None and self.rate is None and self.permits is None)

    @property
    def process(self) -> Process | None:
        """Limits of the process in which an attempt runs; None: it is a task of the worker."""
        if isinstance(self.isolation, Process):
            return self.isolation
        return Process() if self.isolation == "process" else None

    @property
    def at_once(self) -> int:
        """Attempts at once in one worker process, whatever sets the limit."""
        process = self.process
        return self.in_process if process is None else min(self.in_process, process.processes)
