"""Shops get equal parts of a function's time, whatever their attempts cost."""

import heapq
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping

import pytest

from runtime import Context, Event, function
from runtime.fairness import BEHIND_AT_MOST, TOKENS_PER_SECOND, Begun, Fairness
from runtime.places import Places
from runtime.spare import HOLDERS_AT_MOST, Spare
from state.functions import Declared, number_functions
from state.work import DONE, Claimed, Wanted, turn
from tests.state.test_turn import Desk, end, open_desk

PLACES = 10
SECONDS = 120.0


class Anything(Event):
    pass


@pytest.fixture
async def desk(database_dsn: str) -> AsyncIterator[Desk]:
    desk = await open_desk(database_dsn)
    yield desk
    await desk.connection.close()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Simulated:
    """A worker with real claims and a clock that passes when it is told to."""

    def __init__(self, desk: Desk, costs: Mapping[int, float], seed: int = 1) -> None:
        self.desk, self.costs = desk, costs
        self.dice = random.Random(seed)
        self.clock = Clock()
        self.fair = Fairness(self.clock)
        self.seconds: defaultdict[int, float] = defaultdict(float)
        self.starts: Counter[int] = Counter()
        self.after = -1

    async def work(self, seconds: float) -> None:
        """Run what is ready, in all places, for so long; what is under way then is cut off."""
        running: list[tuple[float, int, tuple[Claimed, Begun | None, float]]] = []
        ended: list[Claimed] = []
        until = self.clock.now + seconds
        while self.clock.now < until:
            free = PLACES - len(running)
            behind = self.fair.behind(free)
            wanted = [Wanted(self.desk.fn, free, True, self.after, behind)]
            turned = await turn(
                self.desk.connection,
                self.desk.worker,
                finished=[end(one, DONE, keep=False) for one in ended],
                wanted=wanted,
            )
            for claimed in turned.claimed:
                self.after = claimed.tenant
                begun = self.fair.began(claimed.tenant)
                takes = self.costs[claimed.tenant] * self.dice.uniform(0.5, 1.5)
                self.starts[claimed.tenant] += 1
                until_then = self.clock.now + takes
                heapq.heappush(running, (until_then, claimed.id, (claimed, begun, takes)))
            assert running, "there was always work"
            ended = []
            self.clock.now = running[0][0]
            while running and running[0][0] <= self.clock.now:
                claimed, begun, took = heapq.heappop(running)[2]
                self.seconds[claimed.tenant] += took
                if begun is not None:
                    self.fair.ended(claimed.tenant, begun, 0)
                ended.append(claimed)
        for at, _, (claimed, _, takes) in running:
            self.seconds[claimed.tenant] += takes - (at - self.clock.now)


async def flood(desk: Desk, tenants: Mapping[int, float], each: int, lanes: int | None) -> None:
    for tenant in tenants:
        for lane in range(lanes or 1):
            await desk.ask(
                *["{}"] * (each // (lanes or 1)), tenant=tenant, lane=lane if lanes else None
            )


@pytest.mark.parametrize("lanes", [None, 40])
async def test_ten_times_as_long_is_a_tenth_of_the_starts(desk: Desk, lanes: int | None) -> None:
    costs = {1: 10.0, 2: 1.0}
    await flood(desk, costs, 1200, lanes)
    shops = Simulated(desk, costs)
    await shops.work(SECONDS)
    assert 0.85 < shops.seconds[1] / shops.seconds[2] < 1.15
    assert 8 < shops.starts[2] / shops.starts[1] < 12


@pytest.mark.parametrize("seed", range(3))
async def test_any_mix_of_shops_gets_equal_parts(desk: Desk, seed: int) -> None:
    dice = random.Random(seed)
    costs = {tenant: 10 ** dice.uniform(0, 1) for tenant in range(1, 6)}
    await flood(desk, costs, 900, None)
    shops = Simulated(desk, costs, seed)
    await shops.work(SECONDS)
    part = sum(shops.seconds.values()) / len(costs)
    for tenant, seconds in shops.seconds.items():
        assert abs(seconds - part) < 0.15 * part + costs[tenant], costs


async def test_nobodys_place_stays_empty_for_the_sake_of_fairness(desk: Desk) -> None:
    costs = {1: 10.0, 2: 1.0}
    await flood(desk, {1: 10.0}, 400, None)
    await flood(desk, {2: 1.0}, 20, None)
    shops = Simulated(desk, costs)
    await shops.work(100)
    assert shops.starts[2] == 20
    assert shops.seconds[1] > 0.8 * PLACES * 100 - 20


@pytest.mark.parametrize("lane", [None, 7])
@pytest.mark.parametrize("places", [1, 10])
async def test_places_for_newcomers_are_closed_to_those_who_have_one(
    desk: Desk, lane: int | None, places: int
) -> None:
    await desk.ask("{}", "{}", tenant=1, lane=lane)
    wanted = Wanted(desk.fn, places, True, -1, [(1, None)])
    turned = await turn(desk.connection, desk.worker, finished=[], wanted=[wanted])
    assert turned.claimed == []
    for other in (lane, lane and 8):
        await desk.ask("{}", tenant=2, lane=other)
    turned = await turn(desk.connection, desk.worker, finished=[], wanted=[wanted])
    assert [one.tenant for one in turned.claimed] == [2], "one place each"


async def test_a_turn_may_claim_for_newcomers_of_one_function_and_for_all_of_another(
    desk: Desk,
) -> None:
    other = (await number_functions(desk.connection, [Declared("other", None, None)]))["other"]
    for fn in (desk.fn, other):
        for tenant in (1, 2):
            await desk.ask("{}", tenant=tenant, fn=fn)
    wanted = [Wanted(desk.fn, 5, False, -1, [(1, None)]), Wanted(other, 5, False, -1, [(1, 5)])]
    turned = await turn(desk.connection, desk.worker, finished=[], wanted=wanted)
    found = sorted((one.fn == other, one.tenant) for one in turned.claimed)
    assert found == [(False, 2), (True, 1), (True, 2)]


def test_where_many_shops_share_the_places_none_is_kept() -> None:
    @function(concurrency=40)
    async def plain(event: Anything, ctx: Context) -> None: ...

    places = Places({1: plain}, None)
    for tenant in range(HOLDERS_AT_MOST):
        places.begin(1, tenant)
    assert places.open(1) == 40 - HOLDERS_AT_MOST - 2
    places.begin(1, HOLDERS_AT_MOST)
    assert places.open(1) == 40 - HOLDERS_AT_MOST - 1


def test_places_are_kept_for_ten_minutes_after_another_shop_came() -> None:
    spare = Spare(40, clock := Clock())
    spare.came(1)
    assert spare.places() == 0
    spare.came(2)
    clock.now += 599
    assert spare.places() == 2
    clock.now += 2
    assert spare.places() == 0


def test_a_function_with_few_places_keeps_none() -> None:
    spare = Spare(19, Clock())
    spare.came(1)
    spare.came(2)
    assert spare.places() == 0


def runs(fair: Fairness, clock: Clock, tenant: int, seconds: float, tokens: int = 0) -> None:
    begun = fair.began(tenant)
    clock.now += seconds
    if begun is not None:
        fair.ended(tenant, begun, tokens)


def test_who_comes_late_has_saved_nothing_up() -> None:
    fair = Fairness(clock := Clock())
    for _ in range(50):
        runs(fair, clock, 1, 10)
    for tenant in (2, 1, 2):
        runs(fair, clock, tenant, 10 if tenant == 1 else 1)
    shares = dict(fair.behind(11))
    assert shares[1] >= 1, "not 500 s of the other first, to make up for what was before"
    assert shares[2] >= 9


def test_tokens_weigh_like_time() -> None:
    fair = Fairness(clock := Clock())
    for _ in range(4):
        runs(fair, clock, 1, 1, 9 * TOKENS_PER_SECOND)
        runs(fair, clock, 2, 1)
    shares = dict(fair.behind(110))
    assert shares[2] > 8 * shares[1]


def test_what_costs_about_the_same_is_left_to_the_ring() -> None:
    fair = Fairness(clock := Clock())
    for tenant in (1, 2, 3, 1, 2):
        runs(fair, clock, tenant, 1 + 0.1 * tenant)
    assert fair.behind(10) == []


def test_a_long_attempt_weighs_before_it_has_ended() -> None:
    fair = Fairness(clock := Clock())
    for tenant in (3, 2):
        runs(fair, clock, tenant, 0.01)
    for _ in range(5):
        fair.began(1)
    clock.now += 10
    fair.began(2)
    assert [tenant for tenant, _ in fair.behind(5)] == [2, 1]


def test_a_shop_alone_is_not_reckoned_with() -> None:
    fair = Fairness(clock := Clock())
    assert [fair.began(1) for _ in range(3)] == [None] * 3
    runs(fair, clock, 2, 1)
    runs(fair, clock, 1, 9)
    clock.now += 100
    assert fair.behind(5) == []
    assert fair.began(1) is None


def test_it_remembers_no_more_shops_than_are_about() -> None:
    fair = Fairness(clock := Clock())
    for tenant in range(1000):
        runs(fair, clock, tenant, 0.001 if tenant % 2 else 1.0)
    assert len(fair.behind(10)) <= BEHIND_AT_MOST
    clock.now += 100
    fair.behind(1)
    assert len(fair._shops) == 0
