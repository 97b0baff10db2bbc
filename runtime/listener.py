"""Hear bells, and show this worker to `rq info` and RQ dashboards.

Only the name of the list that rang is read. Everything here may fail: the worker looks into
Postgres once a second, bell or no bell.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import redis as redis_sync
import redis.asyncio as redis
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.version import VERSION as RQ_VERSION
from rq.worker_registration import REDIS_WORKER_KEYS, WORKERS_BY_QUEUE_KEY

from runtime.bell import QUEUE, job_id, job_key, queue_key
from runtime.logs import Log
from runtime.ringer import open_redis

log = Log("bells")

WAIT_SECONDS = 5
HEARTBEAT_SECONDS = 10
PAUSE_SECONDS = 0.01
CANCELLATIONS, CANCEL_AGAIN_SECONDS = 20, 0.1
SHOWN_SECONDS = 35
"""A worker that was killed disappears from `rq info` after this."""


class Listener:
    """Waits at the RQ queues of the functions that this worker serves."""

    def __init__(
        self,
        url: str,
        numbers: Mapping[str, int],
        heard: Callable[[str], None],
        pause_seconds: Callable[[], float],
    ) -> None:
        """Create it.

        Args:
            url: of Redis.
            numbers: functions served, by name.
            heard: called with the name of a function whose bell rang.
            pause_seconds: says how long the others may ring unheard after one was heard.
        """
        self._numbers = dict(numbers)
        self._heard = heard
        self._pause_seconds = pause_seconds
        self._client = open_redis(url, wait_seconds=WAIT_SECONDS + 5)
        self._name = f"nexus-{socket.gethostname()}-{os.getpid()}"
        self._birth = _now()
        self._closing = False
        self._jobs: dict[str, Any] = {
            name: _job_fields(name, number) for name, number in numbers.items()
        }

    async def run(self) -> None:
        """Listen until cancelled; a Redis that is away is tried again each second."""
        parts = [asyncio.create_task(self._patiently(each)) for each in (self._listen, self._show)]
        try:
            await asyncio.wait(parts)
        finally:
            self._closing = True
            await _cancelled(parts)

    async def aclose(self) -> None:
        """Take this worker off the list, if Redis answers at once."""
        try:
            async with asyncio.timeout(1):
                pipeline = self._client.pipeline(transaction=False)
                pipeline.delete(f"rq:worker:{self._name}")
                for key in self._registries():
                    pipeline.srem(key, f"rq:worker:{self._name}")
                await pipeline.execute()
                await self._client.aclose()
        except (redis.RedisError, OSError, TimeoutError):
            pass

    async def _patiently(self, part: Callable[[], Any]) -> None:
        away = False
        while not self._closing:
            try:
                await part()
                away = False
            except (redis.RedisError, OSError) as error:
                if not away and not self._closing:
                    log.warning(
                        "Redis does not answer; work is found by looking into Postgres",
                        error=type(error).__name__,
                    )
                away = True
                await asyncio.sleep(1)

    async def _listen(self) -> None:
        keys = [queue_key(name) for name in self._numbers]
        rung = await self._client.blpop(keys, timeout=WAIT_SECONDS)
        if rung:
            name = rung[0] if isinstance(rung[0], str) else rung[0].decode()
            self._heard(name.removeprefix(QUEUE))
            paused = 0.0
            while paused < self._pause_seconds():  # it may change meanwhile
                await asyncio.sleep(PAUSE_SECONDS)
                paused += PAUSE_SECONDS

    async def _show(self) -> None:
        pipeline = self._client.pipeline(transaction=False)
        pipeline.sadd("rq:queues", *(queue_key(name) for name in self._numbers))
        for name, fields in self._jobs.items():
            # Rewritten each time: a stock `rq worker` may have put a state or an expiry on it.
            pipeline.delete(job_key(name))
            pipeline.hset(job_key(name), mapping=fields)
        key = f"rq:worker:{self._name}"
        pipeline.hset(key, mapping=self._worker_fields())
        pipeline.expire(key, SHOWN_SECONDS)
        for registry in self._registries():
            pipeline.sadd(registry, key)
        await pipeline.execute()
        await asyncio.sleep(HEARTBEAT_SECONDS)

    def _registries(self) -> list[str]:
        return [REDIS_WORKER_KEYS, *(WORKERS_BY_QUEUE_KEY % name for name in self._numbers)]

    def _worker_fields(self) -> dict[Any, Any]:
        return {
            "birth": self._birth,
            "last_heartbeat": _now(),
            "queues": ",".join(self._numbers),
            "pid": os.getpid(),
            "hostname": socket.gethostname(),
            "ip_address": "",
            "version": RQ_VERSION,
            "python_version": sys.version.partition(" ")[0],
            "state": "busy",
        }


async def _cancelled(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel until they end: redis-py 8.1 swallows a cancellation while it connects."""
    for _ in range(CANCELLATIONS):
        for task in tasks:
            task.cancel()
        _, left = await asyncio.wait(tasks, timeout=CANCEL_AGAIN_SECONDS)
        if not left:
            return
    log.warning("a connection to Redis does not end")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _job_fields(name: str, number: int) -> dict[Any, Any]:
    """Return a function's bell as RQ itself writes it."""
    job = Job.create(
        "runtime.bell.look",
        args=[number],
        id=job_id(name),
        connection=redis_sync.Redis(),  # never connects: RQ only wants to have one
        serializer=JSONSerializer,
        origin=name,
        description=f"look at {name}'s work",
        timeout=60,
        result_ttl=0,
        failure_ttl=60,
    )
    fields: dict[Any, Any] = job.to_dict()
    return {**fields, "status": JobStatus.QUEUED.value, "enqueued_at": fields["created_at"]}
