"""Steps of all attempts of this process, stored together."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from runtime.attempt import DRAINING, Attempt
from runtime.batch import Batcher
from runtime.errors import LeaseLost, StepError
from runtime.line import Line
from runtime.results import json_of
from state import steps as stored
from state.database import Database
from state.errors import DatabaseAway
from state.steps import Memo, Record

T = TypeVar("T")

TRIES = 20
RETRY_SECONDS = 0.5


class Steps:
    """Records steps under the fence of what their attempt owns."""

    def __init__(self, database: Database, worker: int) -> None:
        self._database = database
        self._worker = worker
        # Not from the pool: whoever holds one of its connections in a transaction may wait for
        # what is recorded here, and all of them at once would wait for ever.
        self._line = Line(database.dsn, "nexus steps", roles=database.roles)
        self._batcher: Batcher[Record, bytes] = Batcher(self._flush, 200)
        self.closing_doors = False
        """While draining, near the end: no new writing call starts."""

    async def aclose(self) -> None:
        """Store what is queued."""
        await self._batcher.aclose()
        self._line.close()

    async def memos(self, attempt: Attempt) -> dict[str, Memo]:
        """Return what earlier attempts recorded."""

        async def read() -> dict[str, Memo]:
            async with self._database.engine() as connection:
                return await stored.steps_of(connection, attempt.claimed.id)

        return await patiently(read)

    async def run(
        self,
        attempt: Attempt,
        name: str,
        memo: Memo | None,
        call: Callable[[], Awaitable[Any]],
        writes: bool,
        resolve: Callable[[], Awaitable[Any]] | None,
    ) -> Any:
        """Return the recorded answer, or make the call and record it.

        The answer of a call that only read is recorded while its caller goes on; `settle` waits
        for that before anything can follow from the answer.
        """
        if memo is not None and memo.state == stored.DONE:
            return json.loads(memo.result or "null")
        if not writes:
            text = _json(name, await call())
            attempt.recording = asyncio.ensure_future(
                self._record(attempt, name, stored.DONE, text)
            )
            # Of an attempt that is stopped while it settles, nobody asks how this went.
            attempt.recording.add_done_callback(lambda done: done.cancelled() or done.exception())
            return json.loads(text)
        if memo is not None:
            return await self._resolve(attempt, name, call, resolve)
        return await self._write(attempt, name, call)

    async def settle(self, attempt: Attempt) -> None:
        """Wait until the last answer is recorded: a later attempt must get the same one.

        Raises:
            LeaseLost: the invocation belongs to another worker by now.
        """
        recording, attempt.recording = attempt.recording, None
        if recording is not None:
            await recording

    async def _write(self, attempt: Attempt, name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        if self.closing_doors:
            attempt.stop = attempt.stop or DRAINING
            raise asyncio.CancelledError(DRAINING)
        await self._record(attempt, name, stored.INTENT, None)
        return await self._complete(attempt, name, _json(name, await call()))

    async def _resolve(
        self,
        attempt: Attempt,
        name: str,
        call: Callable[[], Awaitable[Any]],
        resolve: Callable[[], Awaitable[Any]] | None,
    ) -> Any:
        """An earlier attempt meant to make this call, and nobody knows whether it did."""
        if resolve is None:
            raise StepError(
                f"step {name!r} was interrupted while it wrote; without resolve=… nobody can say"
                " whether it happened, so it is not repeated"
            )
        claimed = attempt.claimed

        async def take_over() -> None:
            async with self._database.engine() as connection, connection.transaction():
                if not await stored.hold(connection, self._worker, claimed):
                    raise LeaseLost
                await stored.take_intent(connection, claimed.id, name, claimed.epoch)

        await patiently(take_over)
        try:
            answer = await resolve()
        except LookupError:
            answer = await call()
        return await self._complete(attempt, name, _json(name, answer))

    async def _complete(self, attempt: Attempt, name: str, text: str) -> Any:
        async def write() -> None:
            async with self._database.engine() as connection:
                await stored.complete_step(
                    connection, attempt.claimed.id, name, attempt.claimed.epoch, text
                )

        # It has happened: it is recorded even if the attempt is being cancelled.
        await asyncio.shield(asyncio.ensure_future(patiently(write)))
        return json.loads(text)

    async def _record(self, attempt: Attempt, name: str, state: bytes, text: str | None) -> None:
        if attempt.stop is not None:
            raise asyncio.CancelledError(attempt.stop)
        fate = await patiently(
            lambda: self._batcher.put(Record(attempt.claimed, name, state, text))
        )
        if fate == stored.FENCED:
            raise LeaseLost
        # EXISTS: stored by us, and the answer was lost; what others stored was in the memos.

    async def _flush(self, records: list[Record]) -> list[bytes]:
        connection = await self._line.connection()
        return await stored.record_steps(connection, self._worker, records)


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat while Postgres is away, for about ten seconds."""
    for left in range(TRIES, 0, -1):
        try:
            return await call()
        except DatabaseAway:
            if left == 1:
                raise
            await asyncio.sleep(RETRY_SECONDS)
    raise AssertionError("unreachable")


def _json(name: str, answer: Any) -> str:
    try:
        return json_of(answer).decode()
    except ValueError as error:
        raise StepError(f"step {name!r} returned what JSON cannot hold: {error}") from None
