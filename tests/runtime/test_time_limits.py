"""Time limits: each ends in time, those that ended before are forgotten, one timer does it all."""

import asyncio

from runtime.time_limits import TimeLimits


class Limited:
    """Remembers that it was ended."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    def expire(self) -> None:
        self.ended.set()


async def ended(one: Limited) -> None:
    async with asyncio.timeout(5):
        await one.ended.wait()


async def test_each_is_ended_though_a_later_deadline_was_watched_first() -> None:
    limits, now = TimeLimits(), asyncio.get_running_loop().time()
    late, early, never = Limited(), Limited(), Limited()
    limits.watch(never, now + 3600)
    limits.watch(late, now + 0.05)
    limits.watch(early, now + 0.01)
    await ended(early)
    assert not late.ended.is_set()
    await ended(late)
    assert not never.ended.is_set()


async def test_what_has_ended_by_itself_is_not_ended_again() -> None:
    limits, now = TimeLimits(), asyncio.get_running_loop().time()
    quick, slow = Limited(), Limited()
    limits.watch(quick, now + 0.01)
    limits.watch(slow, now + 0.02)
    limits.forget(quick)
    limits.forget(quick)
    await ended(slow)
    assert not quick.ended.is_set()


async def test_many_share_one_timer() -> None:
    limits, loop = TimeLimits(), asyncio.get_running_loop()
    asked: list[float] = []
    call_at = loop.call_at

    class Counted:
        """The running loop, whose timers are counted."""

        def __getattr__(self, name: str) -> object:
            return getattr(loop, name)

        def call_at(self, when: float, *given: object) -> asyncio.TimerHandle:
            asked.append(when)
            return call_at(when, *given)  # type: ignore[arg-type]

    asyncio._set_running_loop(Counted())  # type: ignore[arg-type]
    try:
        for _ in range(100):
            one = Limited()
            limits.watch(one, loop.time() + 60)
            limits.forget(one)
    finally:
        asyncio._set_running_loop(loop)
    assert len(asked) == 1
