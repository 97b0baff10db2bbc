"""Items of many callers are sent together, in order."""

import asyncio
from collections.abc import Sequence

from runtime.batch import Batcher


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


async def test_a_slow_batch_does_not_make_a_rest_longer_than_allowed() -> None:
    async def send(items: list[int]) -> Sequence[int]:
        await asyncio.sleep(0.05)
        return items

    batcher = Batcher(send, 1, rest_times=1000, rest_at_most_seconds=0.001)
    async with asyncio.timeout(5):  # 50 s without the limit
        assert list(await asyncio.gather(batcher.put(1), batcher.put(2))) == [1, 2]
