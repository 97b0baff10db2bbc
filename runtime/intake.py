"""Intake: what a provider posted is stored, with the invocation that will read it, in one commit.

Posts that come together share a commit. Only after it does the provider get its 200, so nothing
that was acknowledged can be lost; what was not acknowledged is posted again, and recognised.
"""

from collections import Counter

from runtime.batch import Batcher
from runtime.errors import ServerAway
from runtime.lanes import lane_number
from runtime.line import WAKE_AT_MOST, Line, dsn_of
from runtime.numbered import NumberedRegistry
from runtime.ringer import Ringer
from runtime.settings import Settings
from state.deliveries import Posted, take_deliveries
from state.errors import StateFault

FLUSH_AT_MOST = 100
WAITING_LIMIT_BYTES = 64_000_000
"""Bodies that wait for their commit; above it, providers are asked to come back."""


class Intake:
    """The intake of one process."""

    def __init__(
        self, settings: Settings, numbered: NumberedRegistry, ringer: Ringer, *, roles: bool
    ) -> None:
        self._numbered = numbered
        self._ringer = ringer
        self._wake = settings.notify_wake
        self._line = Line(dsn_of(settings), "nexus intake", roles=roles)
        self._batcher: Batcher[Posted, int] = Batcher(self._flush, FLUSH_AT_MOST)
        self._names = {number: name for name, number in numbered.numbers.items()}
        self._waiting_bytes = 0

    async def take(self, function_name: str, app: str, sender: str | None, body: bytes) -> int:
        """Store a delivery and return its id; when this returns, it is durable.

        Args:
            function_name: of the function that reads it.
            app: the registration at whose address it came in.
            sender: the lane (`Scheme.sender`).
            body: as it came, its signature checked.

        Raises:
            ServerAway: it may or may not be stored; let the provider post it again.
            UnknownFunction: nobody declared that function.
        """
        if self._waiting_bytes + len(body) > WAITING_LIMIT_BYTES:
            raise ServerAway("too much is waiting to be stored")
        function = self._numbered.registry.named(function_name)
        laned = function.policy.lane is not None and sender is not None
        posted = Posted(
            app,
            sender,
            self._numbered.numbers[function.name],
            lane_number(function.namespace, sender) if laned and sender else None,
            body,
        )
        self._waiting_bytes += len(body)
        try:
            return await self._batcher.put(posted)
        except StateFault as error:
            raise ServerAway(f"Postgres does not answer ({type(error).__name__})") from None
        finally:
            self._waiting_bytes -= len(body)

    async def aclose(self) -> None:
        """Store what is queued, and close."""
        await self._batcher.aclose()
        self._line.close()

    async def _flush(self, batch: list[Posted]) -> list[int]:
        connection = await self._line.connection()
        wake = self._wake and len(batch) <= WAKE_AT_MOST
        ids = await take_deliveries(connection, batch, wake=wake)
        for number, count in Counter(one.fn for one in batch).items():
            self._ringer.ring(self._names[number], count, told=wake)
        return ids
