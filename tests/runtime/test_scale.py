"""How many processes a function gets, and how what it needs is counted."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from runtime.host.fleet import Fleet
from runtime.host.scaling import Scaling as Fleets
from runtime.registry import Registry
from runtime.scale import Scaler, desired, needed
from runtime.settings import Settings
from state.scaling import Demand, Scaling, declare_scaling, demands
from tests.runtime.harness import platform as open_platform
from tests.runtime.harness import working
from tests.sample.greet import greet
from tests.sample.labour import Labour, labour

IDLE = Demand("f", 0, 8, 10, waiting=0, running=0, oldest_seconds=0, ended=0, seconds=0)


def decided(scaler: Scaler, demand: Demand, now: float, current: int = 1) -> int:
    (decision,) = scaler.decide([demand], now, {"f": current})
    return decision.processes


def test_nothing_to_do_needs_no_process_and_anything_needs_one() -> None:
    assert desired(IDLE) == 0
    assert desired(IDLE._replace(waiting=1)) == 1
    assert desired(IDLE._replace(minimum=2)) == 2


def test_what_runs_counts_as_much_as_what_waits() -> None:
    busy = IDLE._replace(running=21)
    assert desired(busy) == 3  # seven at once is a full process of ten
    assert desired(busy._replace(running=0, waiting=21)) == 3


def test_short_work_needs_fewer_processes_than_long_work() -> None:
    waiting = IDLE._replace(waiting=100, ended=1000)
    assert desired(waiting._replace(seconds=10)) == 1  # 10 ms each
    assert desired(waiting._replace(seconds=5000)) == 8  # 5 s each


def test_a_burst_starts_processes_at_once_and_ends_them_a_window_later() -> None:
    scaler = Scaler(60)
    for second in range(60):
        assert decided(scaler, IDLE._replace(running=3), second) == 1
    for second in range(60, 66):
        burst = decided(scaler, IDLE._replace(running=50), second)
    assert burst == 7
    for second in range(66, 125):
        assert decided(scaler, IDLE, second, burst) >= 2, second
    for second in range(125, 190):
        last = decided(scaler, IDLE, second, burst)
    assert last == 0


def test_work_that_is_late_though_no_process_is_full_gets_one_more_each_time() -> None:
    scaler = Scaler(60)
    late = IDLE._replace(waiting=2, running=1, oldest_seconds=12)
    assert decided(scaler, late, 0, 1) == 2
    assert decided(scaler, late, 1, 2) == 2  # the second one is given time to help
    assert decided(scaler, late, 7, 2) == 3


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 300), st.floats(0, 99)), min_size=1),
    st.integers(0, 3),
    st.integers(3, 9),
)
def test_every_decision_keeps_to_what_is_declared_and_never_starves(
    seen: list[tuple[int, int, float]], minimum: int, maximum: int
) -> None:
    scaler, current = Scaler(60), 0
    for second, (waiting, running, oldest) in enumerate(seen):
        demand = IDLE._replace(
            minimum=minimum,
            maximum=maximum,
            waiting=waiting,
            running=running,
            oldest_seconds=oldest,
        )
        current = decided(scaler, demand, second * 2, current)
        assert minimum <= current <= maximum
        assert current > 0 or not (waiting or running)
        assert needed(demand, None) >= running


async def test_demands_count_what_could_run_now_and_what_runs(settings: Settings) -> None:
    async with open_platform(settings, Registry([labour], [])) as platform:
        await platform.dispatcher.dispatch_many([Labour() for _ in range(3)])
        await platform.dispatcher.dispatch(Labour(), delay_seconds=60)
        async with platform.database.engine() as connection:
            number = await connection.fetchval("SELECT fn FROM function WHERE name = 'labour'")
            await declare_scaling(connection, [Scaling(number, "labour", 0, 3, 1)])
            (found,) = await demands(connection)
            assert (found.function, found.waiting, found.running) == ("labour", 3, 0)
            await connection.execute(
                "UPDATE work SET worker = 1 WHERE id = (SELECT min(id) FROM work)"
            )
            (found,) = await demands(connection)
            assert (found.waiting, found.running, found.maximum) == (2, 1, 3)


async def test_functions_of_another_host_get_no_processes_here(settings: Settings) -> None:
    asked: list[str] = []

    class Recorded(Fleet):
        def __init__(self) -> None: ...

        def count(self, function: str) -> int:
            return 0

        async def set(self, function: str, count: int, reason: str) -> None:
            asked.append(function)

    assert settings.postgres_dsn is not None
    dsn = settings.postgres_dsn.get_secret_value()
    async with (
        open_platform(settings, Registry([labour, greet], [])) as platform,
        platform.database.engine() as connection,
    ):
        numbers = dict(await connection.fetch("SELECT name, fn FROM function"))
        declared = [Scaling(numbers[name], name, 2, 3, 1) for name in ("labour", "greet")]
        await declare_scaling(connection, declared)
    scaling = Fleets(dsn, Recorded(), 1.0, lambda: None, {"labour"})
    running = asyncio.create_task(scaling.run())
    async with asyncio.timeout(15):
        while not asked:
            await asyncio.sleep(0.02)
    running.cancel()
    await asyncio.wait([running])
    assert set(asked) == {"greet"}
    assert [one.function for one in scaling.decisions] == ["greet"]


async def test_a_worker_tells_what_its_attempts_took(settings: Settings) -> None:
    async with working(settings, [labour], only=("labour",)) as platform:
        await platform.run(Labour(seconds=0.1))
        async with asyncio.timeout(15):
            while True:
                async with platform.database.engine() as connection:
                    (found,) = await demands(connection)
                if found.ended:
                    break
                await asyncio.sleep(0.05)
        assert (found.ended, found.minimum, found.maximum, found.concurrency) == (1, 0, 3, 1)
        assert 0.1 <= found.seconds < 5
