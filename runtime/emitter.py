"""Store what attempts of this process emit, together and in order.

One chunk of an attempt is on its way at a time, so a later one cannot be seen before it. Between
two batches the emitter rests for a few times as long as one took: a stream that somebody reads does
not need every millisecond, and other work on the same Postgres does. Functions that began together
emit together; their burst is stored in small batches, since each keeps this worker, Postgres, the
gateway and Caddy busy one after another, and other work waits for all of them.
"""

import asyncio
from typing import Any

from runtime.attempt import Attempt
from runtime.batch import Batcher
from runtime.errors import EmitError, LeaseLost
from runtime.line import Line
from runtime.results import json_of
from runtime.steps import patiently
from state.chunks import Chunk, record_chunks
from state.database import Database

CHUNK_LIMIT_BYTES = 64_000
STREAM_LIMIT_BYTES = 16_000_000
"""Of all chunks of one attempt."""
REST_TIMES = 4
"""Storing chunks keeps its line to Postgres busy for a fifth of the time at most."""
STORE_AT_FIRST = 10
"""In one batch; while chunks pile up each may be larger by one."""
STORE_AT_MOST = 50
"""So many attempts go on between two looks at other work of this process."""


class Stream:
    """What one attempt has emitted so far."""

    __slots__ = ("bytes", "lock", "place", "storing")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.place = 0
        self.bytes = 0
        self.storing: asyncio.Future[bool] | None = None


class Emitter:
    """Stores chunks under the fence of what their attempt owns."""

    def __init__(self, database: Database, worker: int) -> None:
        self._worker = worker
        # Not from the pool, as `Steps`: a transaction waits for the last chunk before it commits.
        self._line = Line(database.dsn, "nexus chunks", roles=database.roles)
        self._batcher: Batcher[Chunk, bool] = Batcher(
            self._flush, STORE_AT_MOST, at_first=STORE_AT_FIRST, rest_times=REST_TIMES
        )

    async def aclose(self) -> None:
        """Store what is queued."""
        await self._batcher.aclose()
        self._line.close()

    async def emit(self, attempt: Attempt, chunk: Any) -> None:
        """Queue a chunk; waits until the one before it is stored.

        Raises:
            EmitError: JSON cannot hold it, or a limit is passed.
            LeaseLost: the invocation belongs to another worker by now.
        """
        text = chunk_json(chunk)
        size = len(text.encode())
        stream = attempt.stream = attempt.stream or Stream()
        async with stream.lock:
            await self.settle(attempt)
            if stream.bytes + size > STREAM_LIMIT_BYTES:
                raise EmitError(
                    f"the chunks of this attempt would be over {STREAM_LIMIT_BYTES:,} bytes;"
                    " emit less, or return the content instead"
                )
            stream.bytes += size
            stream.place += 1
            stream.storing = self._put(Chunk(attempt.claimed, stream.place, text))

    async def settle(self, attempt: Attempt) -> None:
        """Wait until the last chunk is stored: an outcome may not be seen before it.

        Raises:
            LeaseLost: the invocation belongs to another worker by now.
        """
        stream = attempt.stream
        if stream is not None and stream.storing is not None:
            storing = stream.storing
            ours = await asyncio.shield(storing)
            if stream.storing is storing:
                stream.storing = None
            if not ours:
                raise LeaseLost

    def ended(self, attempt: Attempt) -> None:
        """Have followers look: the outcome of an attempt that emitted is stored."""
        self._put(Chunk(attempt.claimed, 0, None))

    def _put(self, chunk: Chunk) -> "asyncio.Future[bool]":
        future = self._batcher.put(chunk)
        # Whoever has to know asks; an attempt that was broken off asks no more.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        return future

    async def _flush(self, chunks: list[Chunk]) -> list[bool]:
        async def store() -> set[int]:
            return await record_chunks(await self._line.connection(), self._worker, chunks)

        lost = await patiently(store)
        return [one.claimed.id not in lost for one in chunks]


def chunk_json(chunk: Any) -> str:
    """Return the JSON text of a chunk.

    Raises:
        EmitError: it has none, or a limit is passed.
    """
    try:
        body = json_of(chunk)
    except ValueError as error:
        raise EmitError(f"a chunk has no JSON form: {error}") from None
    if len(body) > CHUNK_LIMIT_BYTES:
        raise EmitError(
            f"a chunk is {len(body):,} bytes; the limit is {CHUNK_LIMIT_BYTES:,}. Emit it in parts"
        )
    return body.decode()
