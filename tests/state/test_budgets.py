"""Budgets hold, whatever happens to those who spend."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator

import pytest

from state.budgets import CONVERSATION, DAY, RUN, Account, Budget, accounts, reserve, settle
from state.errors import WorkLost
from state.leases import register_worker
from state.work import CANCELLED, DEAD, DONE, RETRY, Claimed
from tests.state.test_turn import Desk, end, open_desk

SHOPS = {1: "America/Sao_Paulo", 2: "UTC"}
PER_RUN, PER_CONVERSATION, PER_DAY = 500, 1500, 4000


@pytest.fixture
async def desk(database_dsn: str) -> AsyncIterator[Desk]:
    desk = await open_desk(database_dsn)
    for tenant, zone in SHOPS.items():
        await desk.connection.execute(
            "INSERT INTO shop (tenant, name, zone) VALUES ($1, $2, $3)", tenant, f"s{tenant}", zone
        )
    yield desk
    await desk.connection.close()


def within(claimed: Claimed) -> list[Budget]:
    chat = claimed.lane or 0
    return [
        Budget(RUN, PER_RUN),
        Budget(CONVERSATION, PER_CONVERSATION, chat),
        Budget(DAY, PER_DAY),
    ]


async def takes(
    desk: Desk, claimed: Claimed, tokens: int, call: str = "model:1", holder: int = 1
) -> str | None:
    limits = within(claimed)
    return await reserve(desk.connection, desk.worker, claimed, call, holder, tokens, limits)


async def settles(
    desk: Desk, claimed: Claimed, tokens: int, call: str = "model:1", holder: int = 1
) -> bool:
    return await settle(desk.connection, claimed.id, call, holder, tokens)


async def told(desk: Desk) -> dict[str, tuple[int, int]]:
    """What each scope of the first shop has spent and reserved."""
    found: list[Account] = await accounts(desk.connection, 1)
    return {one.scope: (one.spent, one.reserved) for one in found}


async def test_what_is_reserved_is_gone_until_it_is_settled(desk: Desk) -> None:
    await desk.ask("{}", lane=7)
    (claimed,) = await desk.claim()
    assert await takes(desk, claimed, 300) is None
    assert await told(desk) == {"day": (0, 300), "conversation": (0, 300), "run": (0, 300)}
    assert await takes(desk, claimed, 201, "model:2") == RUN
    assert await settles(desk, claimed, 120)
    assert not await settles(desk, claimed, 120), "once"
    assert await told(desk) == {"day": (120, 0), "conversation": (120, 0), "run": (120, 0)}
    assert await takes(desk, claimed, 380, "model:2") is None
    await desk.end([end(claimed)])
    assert await told(desk) == {"day": (120, 0), "conversation": (120, 0)}


@pytest.mark.parametrize("kind", [DONE, DEAD, CANCELLED])
async def test_the_end_of_a_run_frees_what_it_left_reserved(desk: Desk, kind: bytes) -> None:
    await desk.ask("{}")
    (claimed,) = await desk.claim()
    await takes(desk, claimed, 300)
    await desk.end([end(claimed, kind)])
    assert await told(desk) == {"day": (0, 0), "conversation": (0, 0)}


async def test_a_cancelled_retry_frees_it_too(desk: Desk) -> None:
    await desk.ask("{}")
    (claimed,) = await desk.claim()
    await takes(desk, claimed, 300)
    await desk.end([end(claimed, RETRY, delay_seconds=100)], most=0)
    assert (await told(desk))["day"] == (0, 300)
    await desk.connection.execute("SELECT cancel_invocation($1)", claimed.id)
    assert await told(desk) == {"day": (0, 0), "conversation": (0, 0)}


async def test_a_repeated_attempt_takes_its_reservation_over(desk: Desk) -> None:
    await desk.ask("{}", lane=7)
    (first,) = await desk.claim()
    await takes(desk, first, 300)
    (second,) = await desk.end([end(first, RETRY)])
    assert await takes(desk, second, 400, holder=2) is None
    assert (await told(desk))["run"] == (0, 400)
    assert not await settles(desk, first, 300), "it belongs to a later attempt by now"
    assert await settles(desk, second, 50, holder=2)
    assert await takes(desk, second, 100) is None, "the same call once more: it is paid twice"
    assert (await told(desk))["run"] == (50, 100)


async def test_nobody_reserves_for_work_of_others(desk: Desk) -> None:
    await desk.ask('"a"', lane=7)
    await desk.ask('"b"')
    claimed = await desk.claim()
    await desk.connection.execute("SELECT reap($1, false)", desk.worker)
    for one in claimed:
        with pytest.raises(WorkLost):
            await takes(desk, one, 1)


async def test_a_day_ends_at_the_shops_midnight(desk: Desk) -> None:
    await desk.ask("{}")
    (claimed,) = await desk.claim()
    await takes(desk, claimed, 300)
    day = "SELECT day = (clock_timestamp() AT TIME ZONE 'America/Sao_Paulo')::date FROM budget"
    assert await desk.connection.fetchval(day)
    # The night comes between: what is settled belongs to the day it was reserved in.
    await desk.connection.execute("UPDATE budget SET day = day - 1, spent = 3800")
    await desk.connection.execute("UPDATE reservation SET days = ARRAY[days[1] - 1, days[2] - 1]")
    await settles(desk, claimed, 200)
    assert await told(desk) == {"day": (0, 0), "run": (200, 0)}
    yesterday = "SELECT spent FROM budget WHERE scope = 'day'"
    assert await desk.connection.fetchval(yesterday) == 4000
    assert await takes(desk, claimed, 300, "model:2") is None


class Spenders:
    """Workers that run, are killed, and come back."""

    def __init__(self, dsn: str, seed: int) -> None:
        self.dsn, self.dice = dsn, random.Random(seed)
        self.billed: Counter[int] = Counter()
        """By shop: of every call that was settled."""
        self.done: defaultdict[int, int] = defaultdict(int)
        """By invocation: how many of its calls are recorded as steps."""
        self.refused: Counter[str] = Counter()

    async def work(self, count: int) -> None:
        desk = await open_desk(self.dsn)
        try:
            while await desk.connection.fetchval("SELECT count(*) FROM outcome") < count:
                for claimed in await desk.claim(2):
                    if not await self.run(desk, claimed):
                        await desk.connection.execute("SELECT reap($1, false)", desk.worker)
                        desk.worker = await register_worker(desk.connection, 30, False)
                        break
        finally:
            await desk.connection.close()

    async def run(self, desk: Desk, claimed: Claimed) -> bool:
        """Run an attempt; False: it was killed."""
        while self.done[claimed.id] < 4:
            tokens = self.dice.randint(1, 250)
            call = f"model:{self.done[claimed.id]}"
            holder = self.dice.getrandbits(62)
            scope = await takes(desk, claimed, tokens, call, holder)
            if scope is not None:
                self.refused[scope] += 1
                break
            fate = self.dice.random()
            if fate < 0.1:
                return False
            if fate < 0.2:
                await desk.end([end(claimed, RETRY, keep=False)], most=0)
                return True
            used = self.dice.randint(0, tokens)
            if await settles(desk, claimed, used, call, holder):
                self.billed[claimed.tenant] += used
            await settles(desk, claimed, used, call, holder)
            if fate < 0.3:
                return False  # before its step was recorded: the call is made once more
            self.done[claimed.id] += 1
        kind = self.dice.choice([DONE, DONE, DEAD])
        await desk.end([end(claimed, kind, keep=False)], most=0)
        return True


@pytest.mark.parametrize("seed", range(4))
async def test_many_runs_at_once_with_kills_and_retries_stay_within_their_budgets(
    desk: Desk, database_dsn: str, seed: int
) -> None:
    spenders = Spenders(database_dsn, seed)
    for lane in range(20):
        for tenant in SHOPS:
            await desk.ask("{}", "{}", tenant=tenant, lane=lane % 5)
    over = "SELECT count(*) FROM budget WHERE spent + reserved > most"
    working = [asyncio.create_task(spenders.work(80)) for _ in range(6)]
    while not all(task.done() for task in working):
        assert await desk.connection.fetchval(over) == 0
    await asyncio.gather(*working)

    assert {DAY, RUN, CONVERSATION} & set(spenders.refused), "the limits were reached"
    assert await desk.connection.fetchval("SELECT sum(reserved) FROM budget") == 0
    assert await desk.connection.fetchval("SELECT count(*) FROM reservation") == 0
    days = "SELECT tenant, spent FROM budget WHERE scope = 'day'"
    spent = {row["tenant"]: row["spent"] for row in await desk.connection.fetch(days)}
    assert spent == dict(spenders.billed)
    assert max(spent.values()) <= PER_DAY
