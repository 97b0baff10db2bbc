"""The batching rule: send at once if nothing is in flight, else gather until it comes back.

Idle, a batch is one item without delay; under load it grows to what one round trip lets gather,
and no timer is needed. Where fewer, larger batches are worth a moment, it rests after each.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Items of many callers, sent together in the order they came."""

    def __init__(
        self,
        send: Callable[[list[T]], Awaitable[Sequence[R | Exception]]],
        limit: int,
        *,
        at_first: int | None = None,
        rest_times: float = 0,
    ) -> None:
        """Create it.

        Args:
            send: gets 1 to `limit` items and returns an answer or error for each.
            limit: of items in one batch.
            at_first: of items in a batch, and one more after each that left some waiting, up to
                `limit`: a burst goes out in small parts, and a crowd that stays in large ones.
                None: `limit` from the beginning.
            rest_times: after a batch nothing is sent for so many times as long as it took.
        """
        self._send = send
        self._rest_times = rest_times
        self._limit = limit
        self._at_first = self._size = limit if at_first is None else at_first
        self._queue: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._sending: asyncio.Task[None] | None = None

    def put(self, item: T) -> "asyncio.Future[R]":
        """Queue an item; the future gets its answer, or the error of its whole batch."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._queue.append((item, future))
        if self._sending is None:
            self._sending = asyncio.create_task(self._run())
        return future

    async def aclose(self) -> None:
        """Wait until everything queued was sent."""
        while self._sending is not None:
            with suppress(asyncio.CancelledError):
                await asyncio.shield(self._sending)

    async def _run(self) -> None:
        try:
            while self._queue:
                batch = self._next()
                began = time.monotonic()
                await self._send_one(batch)
                if self._rest_times:
                    await asyncio.sleep((time.monotonic() - began) * self._rest_times)
        finally:
            self._sending = None

    def _next(self) -> list[tuple[T, "asyncio.Future[R]"]]:
        size = min(len(self._queue), self._size)
        batch = [self._queue.popleft() for _ in range(size)]
        self._size = min(self._size + 1, self._limit) if self._queue else self._at_first
        return batch

    async def _send_one(self, batch: list[tuple[T, "asyncio.Future[R]"]]) -> None:
        try:
            answers = await self._send([item for item, _ in batch])
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():  # its caller has gone
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
