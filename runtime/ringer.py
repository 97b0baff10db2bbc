"""Ring bells, and take off those that were answered. Fire and forget."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from runtime.bell import LISTED_AT_MOST, job_id, queue_key
from runtime.logs import Log

if TYPE_CHECKING:
    from runtime.neighbour import Neighbour

log = Log("ringer")

LATER_SECONDS = 0.05
"""Nobody waits for an answered bell to leave its list, nor for one beside a NOTIFY, which is for
whoever missed that; and each command costs a worker much."""
GATHER_SECONDS = 0.01
"""Between two messages to Redis: in a crowd one carries the bells of several flushes, and one that
rings alone does not wait."""
RETRY_SECONDS = 1.0
"""While Redis is away, rings are dropped; it is tried again after this."""


class Ringer:
    """One connection on which rings of a whole flush leave together."""

    def __init__(self, url: str | None, elsewhere: "Mapping[str, Neighbour] | None" = None) -> None:
        """Create it.

        Args:
            url: of Redis; None: nothing rings here, and workers find work by looking.
            elsewhere: functions whose bell is another host's; closed with this.
        """
        self._elsewhere = elsewhere or {}
        self._client = open_redis(url) if url else None
        self._ring: Counter[str] = Counter()
        self._answered: Counter[str] = Counter()
        self._clear: set[str] = set()
        self._sending: asyncio.Task[None] | None = None
        self._later: asyncio.TimerHandle | None = None
        self._away_until = 0.0

    def ring(self, name: str, count: int = 1, *, told: bool = False) -> None:
        """Say that a function has `count` more invocations.

        Args:
            name: of the function.
            count: how many.
            told: Postgres has told its workers already; this may come a moment later.
        """
        if self._elsewhere and (other := self._elsewhere.get(name)) is not None:
            other.ring(name, count)
            return
        self._ring[name] += count
        if told:
            self._start_later()
        else:
            self._start()

    def answered(self, name: str, count: int) -> None:
        """Say that a worker has taken `count` invocations."""
        self._answered[name] += count
        self._start_later()

    def clear(self, name: str) -> None:
        """Say that a bell rang and there was nothing: the list is out of date."""
        self._clear.add(name)
        self._start()

    async def aclose(self) -> None:
        """Send what is left, within a second, and close."""
        await asyncio.gather(*(other.aclose() for other in set(self._elsewhere.values())))
        if self._later is not None:
            self._later.cancel()
            self._tidy()
        if self._sending is not None:
            await asyncio.wait([self._sending], timeout=1)
        if self._client is not None:
            await self._client.aclose()

    def _start_later(self) -> None:
        if self._client is not None and self._later is None:
            self._later = asyncio.get_running_loop().call_later(LATER_SECONDS, self._tidy)

    def _tidy(self) -> None:
        self._later = None
        self._start()

    def _start(self) -> None:
        if self._client is not None and self._sending is None:
            self._sending = asyncio.create_task(self._run())

    async def _run(self) -> None:
        assert self._client is not None  # noqa: S101 - see _start
        try:
            while self._ring or self._answered or self._clear:
                ring, answered, clear = self._ring, self._answered, self._clear
                self._ring, self._answered, self._clear = Counter(), Counter(), set()
                if asyncio.get_running_loop().time() < self._away_until:
                    continue
                await self._send(ring, answered, clear)
                await asyncio.sleep(GATHER_SECONDS)
        finally:
            self._sending = None

    async def _send(self, ring: Counter[str], answered: Counter[str], clear: set[str]) -> None:
        assert self._client is not None  # noqa: S101 - see _start
        pipeline = self._client.pipeline(transaction=False)
        for name in clear:
            pipeline.delete(queue_key(name))
        for name, count in answered.items():
            pipeline.ltrim(queue_key(name), count, -1)
        for name, count in ring.items():
            pipeline.rpush(queue_key(name), *[job_id(name)] * min(count, LISTED_AT_MOST))
        try:
            await pipeline.execute(raise_on_error=False)
        except (redis.RedisError, OSError) as error:
            self._away_until = asyncio.get_running_loop().time() + RETRY_SECONDS
            log.debug("bells are not ringing", error=type(error).__name__)


def open_redis(url: str, *, wait_seconds: float = 5.0) -> "redis.Redis":
    """Return a client that fails soon and repeats nothing by itself."""
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=wait_seconds,
        socket_timeout=wait_seconds,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
    )
