"""A worker does not look behind its horizon, but now and then at everything."""

from datetime import UTC, datetime
from typing import Any

from runtime import Context, Event, function
from runtime.function import Function
from runtime.horizon import ALL_SECONDS, Horizon
from state.work import EVER

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
PLAIN, LINED, URGENT = 1, 2, 3


class Paid(Event):
    order: str = ""
    head_start: int = 0


class Packed(Event):
    order: str = ""


class Sent(Event):
    head_start: int = 0


@function()
async def count(event: Paid, ctx: Context) -> None: ...


@function(lane="order")
async def pack(event: Packed, ctx: Context) -> None: ...


@function(priority="head_start")
async def send(event: Sent, ctx: Context) -> None: ...


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def open_horizon() -> tuple[Horizon, Clock]:
    served: dict[int, Function[Any]] = {PLAIN: count, LINED: pack, URGENT: send}
    clock = Clock()
    return Horizon(served, clock), clock


def test_the_first_look_is_at_everything() -> None:
    horizon, _ = open_horizon()
    assert horizon.of(PLAIN) == EVER


def test_a_look_begins_where_the_last_one_said() -> None:
    horizon, clock = open_horizon()
    horizon.of(PLAIN)
    horizon.learn({PLAIN: NOON})
    clock.now += ALL_SECONDS / 2
    assert horizon.of(PLAIN) == NOON


def test_now_and_then_everything_is_looked_at() -> None:
    horizon, clock = open_horizon()
    horizon.of(PLAIN)
    horizon.learn({PLAIN: NOON})
    clock.now += ALL_SECONDS
    assert horizon.of(PLAIN) == EVER
    assert horizon.of(PLAIN) == NOON


def test_what_is_forgotten_is_looked_at_whatever_is_learnt_meanwhile() -> None:
    horizon, _ = open_horizon()
    horizon.of(PLAIN)
    horizon.learn({PLAIN: NOON})
    horizon.forget([PLAIN, LINED])
    horizon.learn({PLAIN: NOON})
    assert horizon.of(PLAIN) == EVER


def test_functions_with_lanes_or_priorities_have_none() -> None:
    horizon, _ = open_horizon()
    horizon.of(LINED)
    assert horizon.of(LINED) is None
    assert horizon.of(URGENT) is None
