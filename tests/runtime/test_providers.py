"""Who waits for a provider holds no worker, and holds back nobody else."""

import asyncio
import doctest
from collections import Counter
from typing import Any

import pytest

from runtime import Context, Event, Provider, Snooze, function, retry_after
from runtime.errors import ProviderBusy, Throttled
from runtime.function import Function
from runtime.providers import Providers, Wish
from runtime.settings import Settings
from runtime.testing import Trial
from state.database import Database, connect
from state.providers import Limits
from tests.runtime.harness import working

ASKED: Counter[str] = Counter()
PAUSES: dict[str, float] = {}


@pytest.fixture(autouse=True)
def nothing_asked() -> None:
    ASKED.clear()
    PAUSES.clear()


class Ask(Event):
    """Ask somebody."""

    host: str
    key: str = ""
    per_minute: int | None = None
    patience: float | None = None


@function(concurrency=1)
async def ask(event: Ask, ctx: Context) -> int:
    provider = Provider(event.host, event.host, event.key, Limits(event.per_minute))

    async def call() -> int:
        async with ctx.asking("c", provider, patience_seconds=event.patience):
            ASKED[event.host + event.key] += 1
            if seconds := PAUSES.pop(event.host + event.key, None):
                raise Throttled(seconds)
            return ASKED[event.host + event.key]

    return int(await ctx.step("c", call))


DUE = "SELECT count(*) FROM work WHERE run_at < clock_timestamp() + interval '30 s'"
FUNCTIONS: list[Function[Any]] = [ask]


async def test_a_pause_stops_one_provider_and_holds_no_place(settings: Settings) -> None:
    PAUSES["a"] = 600
    async with working(settings, FUNCTIONS) as found:
        await found.dispatcher.dispatch_many([Ask(host="a")] * 5)
        await found.zero(DUE)
        assert (await found.run(Ask(host="b"))).result == "1"
        assert (await found.run(Ask(host="a", key="other"))).result == "1"
        assert ASKED["a"] == 1
        assert await found.value("SELECT count(*) FROM failure") == 0


async def test_after_the_pause_what_waited_is_done(settings: Settings) -> None:
    PAUSES["a"] = 0.3
    async with working(settings, FUNCTIONS) as found:
        waiting = [await found.dispatcher.dispatch(Ask(host="a"), wait=True) for _ in range(3)]
        results = [(await found.end_of(one.id)).result for one in waiting]
    assert set(results) == {"2", "3", "4"}


async def test_limits_let_calls_in_one_after_another(settings: Settings) -> None:
    async with working(settings, FUNCTIONS) as found:
        first, second = [
            await found.dispatcher.dispatch(Ask(host="a", per_minute=1)) for _ in range(2)
        ]
        await found.until(first.id, "done")
        await found.zero(DUE)
        assert ASKED["a"] == 1
        # Its moment comes.
        await found.value("UPDATE slot SET at = clock_timestamp() RETURNING 1")
        await found.value("UPDATE work SET run_at = clock_timestamp() RETURNING 1")
        await found.until(second.id, "done")
        await found.dispatcher.dispatch(Ask(host="a", per_minute=1, patience=1))
        await found.zero("SELECT 1 - count(*) FROM failure WHERE message LIKE '%no room%'")
        assert ASKED["a"] == 2


async def test_without_limits_a_provider_costs_no_statement(database_dsn: str) -> None:
    database = await Database.open(database_dsn, application="test")
    providers = Providers(database, told=True)
    wish = Wish(Provider("h", "h"), 1, "c", 1, 0, 10.0)
    async with providers.asking(wish):
        pass
    await database.aclose()
    async with providers.asking(wish):  # it would fail if it asked the database
        pass
    providers.heard(f"paused:{wish.provider.number}:600")
    with pytest.raises(ProviderBusy):
        async with providers.asking(wish):
            raise AssertionError("it is paused")


async def test_every_process_hears_of_a_pause(database_dsn: str) -> None:
    database = await Database.open(database_dsn, application="test")
    wish = Wish(Provider("h", "h"), 1, "c", 1, 0, None)
    here, child, later = (Providers(database, told=told) for told in (True, False, True))
    try:
        async with child.asking(wish):
            pass
        heard: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        listening = await connect(database_dsn, application="test")
        await listening.add_listener("nexus_wake", lambda *given: heard.set_result(str(given[-1])))
        with pytest.raises(Snooze):
            async with here.asking(wish):
                raise Throttled(600)
        assert (await heard).startswith(f"paused:{wish.provider.number}:")
        await listening.close()
        for one in (here, child, later):
            with pytest.raises(Snooze):
                async with one.asking(wish):
                    raise AssertionError("it is paused")
    finally:
        await database.aclose()


def test_the_number_of_a_provider_shows_neither_key_nor_order() -> None:
    one = Provider("h", "https://h/v1", "sk-secret")
    assert "secret" not in repr(one)
    assert one.number == Provider("other name", "https://h/v1", "sk-secret").number
    assert one.number != Provider("h", "https://h/v1", "sk-other").number
    assert -(2**63) <= one.number < 2**63


def test_what_is_said_of_when_to_ask_again_is_read() -> None:
    assert doctest.testmod(retry_after).failed == 0


async def test_a_trial_shows_the_pause_as_a_verdict() -> None:
    trial = Trial(ask)
    PAUSES["a"] = 5
    with pytest.raises(Snooze):
        await trial.run(Ask(host="a"))
    assert await trial.run(Ask(host="a")) == 2
