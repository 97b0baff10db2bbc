"""A worker does not look behind its horizon, but now and then at everything."""

from datetime import UTC, datetime
from functools import partial
from typing import Any

from runtime import Context, Event, function
from runtime.attempt import Attempt
from runtime.function import Function
from runtime.horizon import Horizon
from runtime.pool import Pool
from state.work import EVER, Finish, Turn

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


def open_horizon() -> Horizon:
    served: dict[int, Function[Any]] = {PLAIN: count, LINED: pack, URGENT: send}
    return Horizon(served)


def test_the_first_look_is_at_everything() -> None:
    horizon = open_horizon()
    assert horizon.of(PLAIN) == EVER


def test_a_look_begins_where_the_last_one_said() -> None:
    horizon = open_horizon()
    horizon.of(PLAIN)
    horizon.learn({PLAIN: NOON})
    assert horizon.of(PLAIN) == NOON


def test_what_is_forgotten_is_looked_at_whatever_is_learnt_meanwhile() -> None:
    horizon = open_horizon()
    horizon.of(PLAIN)
    horizon.learn({PLAIN: NOON})
    horizon.forget([PLAIN, LINED])
    horizon.learn({PLAIN: NOON})
    assert horizon.of(PLAIN) == EVER
    assert horizon.of(PLAIN) == NOON


def test_functions_with_lanes_or_priorities_have_none() -> None:
    horizon = open_horizon()
    horizon.of(LINED)
    assert horizon.of(LINED) is None
    assert horizon.of(URGENT) is None


def test_a_bell_looks_as_far_as_the_horizon_and_the_tick_at_everything() -> None:
    async def run(attempt: Attempt) -> Finish:
        raise AssertionError("nothing runs here")

    pool = Pool({PLAIN: count}, run, None)
    bell, tick = partial(pool.look, [PLAIN]), pool.look_at_all
    looked = []
    for look in (bell, bell, tick):
        look()
        _, wanted = pool.take()
        looked += [want.since for want in wanted]
        pool.taken(Turn([], [], [], {PLAIN: NOON}), wanted)
    assert looked == [EVER, NOON, EVER]
