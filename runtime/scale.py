"""How many processes a function should have. One rule, for the supervisor and for KEDA alike.

What it needs is counted in attempts at once: those that run, and as many more as would work off
what waits within CATCH_UP_SECONDS, by the time an attempt takes. A process counts as full at
FULL_SHARE of its concurrency. Two means of that decide: over the stable window, which also
ends processes; and over the panic window, a tenth of it, which only starts them, at once when
twice as many are needed as there are.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from state.scaling import Demand

STABLE_SECONDS = 60.0
PANIC_SHARE = 0.1
PANIC_FACTOR = 2
CATCH_UP_SECONDS = 5.0
FULL_SHARE = 0.7
LATE_SECONDS = 10.0
"""Work that is older than this asks for one more, whatever the means say: a process that
computes is full long before its concurrency is."""


class Decision(NamedTuple):
    """How many processes, and why, as a sentence."""

    function: str
    processes: int
    reason: str


def needed(demand: Demand, service_seconds: float | None) -> float:
    """Return how many attempts at once a function needs now.

    >>> idle = Demand("f", 0, 4, 10, waiting=0, running=3, oldest_seconds=0, ended=0, seconds=0)
    >>> needed(idle, None), needed(idle._replace(waiting=100), 0.5)
    (3, 13.0)

    Args:
        demand: what there is.
        service_seconds: what an attempt takes; None: not known, so all that waits counts.
    """
    if service_seconds is None:
        return demand.running + demand.waiting
    wanted = demand.waiting * service_seconds / CATCH_UP_SECONDS
    return demand.running + min(demand.waiting, wanted)


def service_seconds(demand: Demand) -> float | None:
    """Return what an attempt of the last day took on average; None: there was none."""
    return demand.seconds / demand.ended if demand.ended else None


def desired(demand: Demand) -> int:
    """Return how many processes would do, by this moment alone (for scalers with a memory)."""
    return _clamped(demand, _processes(needed(demand, service_seconds(demand)), demand))


@dataclass
class _Past:
    """What is remembered of one function."""

    needs: deque[tuple[float, float]] = field(default_factory=deque)
    """(when, attempts at once) of the stable window."""
    served: deque[tuple[float, Demand]] = field(default_factory=deque)
    """(when, what was seen) of the stable window: what attempts take lately."""
    panic_until: float = 0.0
    panic_processes: int = 0
    late_at: float = -math.inf
    """When one more was last asked for because work was late."""


class Scaler:
    """Decides again and again, and remembers a window of what it saw."""

    def __init__(self, stable_seconds: float = STABLE_SECONDS) -> None:
        self._stable_seconds = stable_seconds
        self._panic_seconds = stable_seconds * PANIC_SHARE
        self._past: dict[str, _Past] = {}

    def decide(
        self, demands: Sequence[Demand], now: float, current: dict[str, int]
    ) -> list[Decision]:
        """Decide about each function.

        Args:
            demands: what they have to do.
            now: seconds of a clock that never goes back.
            current: how many processes each has.
        """
        return [self._decide(each, now, current.get(each.function, 0)) for each in demands]

    def _decide(self, demand: Demand, now: float, current: int) -> Decision:
        past = self._past.setdefault(demand.function, _Past())
        past.served.append((now, demand))
        past.needs.append((now, needed(demand, _lately(past.served))))
        while past.needs[0][0] < now - self._stable_seconds:
            past.needs.popleft()
            past.served.popleft()
        stable = _mean(past.needs, now - self._stable_seconds)
        sudden = _mean(past.needs, now - self._panic_seconds)
        processes = _processes(stable, demand)
        reason = f"{stable:.1f} attempts at once in {self._stable_seconds:g} s"

        urgent = _processes(sudden, demand)
        if urgent >= PANIC_FACTOR * max(current, 1) or (urgent and not current):
            past.panic_until = now + self._stable_seconds
            past.panic_processes = max(past.panic_processes, urgent)
        if now < past.panic_until:
            if past.panic_processes > processes:
                processes = past.panic_processes
                reason = f"a burst: {sudden:.1f} attempts at once in {self._panic_seconds:g} s"
        else:
            past.panic_processes = 0

        late = demand.waiting > 0 and demand.oldest_seconds > LATE_SECONDS
        if late and processes <= current:
            if now - past.late_at >= self._panic_seconds:  # give the last one time to help
                past.late_at, processes = now, current + 1
            else:
                processes = current
            reason = f"work has waited for {demand.oldest_seconds:.0f} s"
        bounded = _clamped(demand, processes)
        if bounded != processes:
            reason += f"; bounded by Scale({demand.minimum}, {demand.maximum})"
        return Decision(demand.function, bounded, reason)


def _lately(served: deque[tuple[float, Demand]]) -> float | None:
    """Return what an attempt took within the window; when none ended in it, within a day."""
    first, last = served[0][1], served[-1][1]
    if last.ended > first.ended:
        return (last.seconds - first.seconds) / (last.ended - first.ended)
    return service_seconds(last)


def _mean(needs: deque[tuple[float, float]], since: float) -> float:
    window = [need for at, need in needs if at >= since]
    return sum(window) / len(window)


def _processes(attempts: float, demand: Demand) -> int:
    """Return how many processes hold these attempts; the part of one that is left counts."""
    return math.ceil(attempts / max(1.0, demand.concurrency * FULL_SHARE))


def _clamped(demand: Demand, processes: int) -> int:
    return max(demand.minimum, min(processes, demand.maximum))
