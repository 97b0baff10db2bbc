"""Items that gather while a batch is under way leave together in the next ones, in order."""

import asyncio
from collections.abc import Sequence
from itertools import chain

from runtime.batch import Batcher


class Sent:
    """Remembers what was sent."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    async def __call__(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        await asyncio.sleep(0)
        return items

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches]


async def test_a_burst_leaves_in_small_batches_that_grow_while_some_wait() -> None:
    sent = Sent()
    batcher: Batcher[int, int] = Batcher(sent, 5, at_first=3)
    answers = await asyncio.gather(*[batcher.put(number) for number in range(20)])
    assert answers == list(range(20))
    assert list(chain.from_iterable(sent.batches)) == list(range(20))
    assert sent.sizes == [3, 4, 5, 5, 3]


async def test_after_a_batch_that_left_none_waiting_they_are_small_again() -> None:
    sent = Sent()
    batcher: Batcher[int, int] = Batcher(sent, 5, at_first=3)
    await asyncio.gather(*[batcher.put(number) for number in range(7)])
    await asyncio.gather(*[batcher.put(number) for number in range(7)])
    assert sent.sizes == [3, 4, 3, 4]


async def test_who_does_not_ask_for_it_sends_full_batches_at_once() -> None:
    sent = Sent()
    batcher: Batcher[int, int] = Batcher(sent, 5)
    await asyncio.gather(*[batcher.put(number) for number in range(12)])
    assert sent.sizes == [5, 5, 2]


async def test_what_comes_while_a_batch_is_under_way_goes_together_and_in_order() -> None:
    sent: list[list[int]] = []
    back = asyncio.Event()

    async def send(items: list[int]) -> Sequence[int]:
        sent.append(items)
        await back.wait()
        return items

    batcher = Batcher(send, 3)
    first = batcher.put(0)
    while not sent:
        await asyncio.sleep(0)
    others = [batcher.put(number) for number in range(1, 6)]
    back.set()

    assert await asyncio.gather(first, *others) == [0, 1, 2, 3, 4, 5]
    assert sent == [[0], [1, 2, 3], [4, 5]]
