"""Call other functions and wait for their results: children of running attempts.

A child is stored once for its parent and name, so a later attempt of the parent waits for the same
one. Nothing is open before the first call of the process.
"""

import json
from collections.abc import Callable
from typing import Any

from runtime.attempt import Attempt
from runtime.batch import Batcher
from runtime.errors import CallError, ChildFailed, LeaseLost, Snooze
from runtime.line import WAKE_AT_MOST
from runtime.numbered import fingerprint
from runtime.replies import Replies
from runtime.steps import patiently
from state.children import FENCED, Call, call_children
from state.database import Database
from state.dispatch import CONFLICT, NEW, Asked, Stored
from state.ids import public_id

CALL_AT_MOST = 200
WAIT_SECONDS = 300.0
ALONE_SECONDS, AGAIN_SECONDS = 2.0, 1.0


class Calls:
    """Calls children for the attempts of one process, and hears of their ends."""

    def __init__(
        self,
        database: Database,
        worker: int,
        stored: Callable[[list[Asked]], None],
        *,
        wake: bool,
        alone: bool,
    ) -> None:
        """Create it.

        Args:
            database: of the attempts.
            worker: our number.
            stored: called with events that were just stored: ring for them.
            wake: also ring through Postgres.
            alone: this process runs one attempt at a time, so a child may wait for its parent.
        """
        self._database, self._worker = database, worker
        self._stored, self._wake, self._alone = stored, wake, alone
        self._batcher: Batcher[Call, Stored] = Batcher(self._flush, CALL_AT_MOST)
        self._replies: Replies | None = None

    async def aclose(self) -> None:
        """Send what is queued, and stop listening."""
        await self._batcher.aclose()
        if self._replies is not None:
            await self._replies.aclose()

    async def call(self, attempt: Attempt, name: str, function: str, asked: Asked) -> Any:
        """Return the result of a child.

        Args:
            attempt: the parent's.
            name: of the call within the parent.
            function: the child's.
            asked: its event.

        Raises:
            CallError: it stands in the parent's own lane, or was called with another event before.
            ChildFailed: it ended as dead or cancelled.
            LeaseLost: the parent belongs to another worker by now.
        """
        parent = attempt.claimed
        if asked.lane is not None and (asked.tenant, asked.lane) == (parent.tenant, parent.lane):
            raise CallError(
                f"{name!r} stands in the same lane as the function that calls it, so each would"
                " wait for the other; give it another lane or namespace, or dispatch it"
            )
        replies = await self._open()
        asked.reply_to, asked.fingerprint = replies.number, fingerprint(function, asked.event)
        stored = await patiently(lambda: self._batcher.put(Call(parent, name, asked)))
        if stored.fate == FENCED:
            raise LeaseLost
        if stored.fate == CONFLICT:
            raise CallError(
                f"{name!r} was called with another event by an earlier attempt; make what differs"
                " (a time, a number drawn) in a step, so that it stays the same"
            )
        if stored.fate == NEW:
            replies.expect(stored.id)
        return await self._result(replies, stored.id)

    async def _result(self, replies: Replies, child: int) -> Any:
        seconds = ALONE_SECONDS if self._alone else WAIT_SECONDS
        while True:
            outcome = await patiently(lambda: replies.outcome(child, seconds))
            if outcome is None and self._alone:
                # The child may be waiting for this very process: let go, and be run elsewhere.
                raise Snooze(AGAIN_SECONDS, f"waits for {public_id(child)} outside of quarantine")
            if outcome is not None:
                break
        if outcome.state != "done":
            raise ChildFailed(public_id(child), outcome.state, outcome.error or "")
        return json.loads(outcome.result or "null")

    async def _open(self) -> Replies:
        if self._replies is None:
            self._replies = Replies(self._database)
        await self._replies.ready()
        return self._replies

    async def _flush(self, calls: list[Call]) -> list[Stored]:
        async with self._database.engine() as connection:
            wake = self._wake and len(calls) <= WAKE_AT_MOST
            stored = await call_children(connection, self._worker, calls, wake=wake)
        pairs = zip(calls, stored, strict=True)
        self._stored([call.asked for call, one in pairs if one.fate == NEW])
        return stored
