"""Another Nexus host on the same Postgres: its bells are rung over HTTP, at its private door.

A bell only says "look now": whoever serves a function looks for work each second anyway. So bells
may come late, twice or never without harm, and that is how this treats them. Safe to send twice.
"""

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import httpx2

from runtime.bell import LISTED_AT_MOST
from runtime.logs import Log

log = Log("neighbour")

PATH = "/internal/bells"
ANSWER_SECONDS = 5.0
"""One request in all; the other side only writes to its Redis."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 15.0
KEEP_SECONDS = 30.0
"""An idle connection. What stands before the other gateway may close it earlier: then a request
fails, and is sent again."""
REMEDIES = {
    401: "INTERNAL_API_TOKEN differs there",
    404: "its private door is not there, or does not know this name",
    409: "that host does not run all of it",
}


class Neighbour:
    """The bells of one other host; at most one request is under way."""

    def __init__(self, url: str, token: str) -> None:
        """Create it; nothing is sent before something rings.

        Args:
            url: of its private door, without a slash at its end.
            token: opens that door.
        """
        self.url = url
        self.functions: dict[str, str] = {}
        """That it runs for us, each with the name of the setting that says so."""
        self.away_since: datetime | None = None
        """When it first did not do what was asked; None: it does, or was never asked."""
        self.answered = False
        """Whether it ever did what was asked."""
        self.problem = ""
        """What it did instead, in words; empty: all is well."""
        self._headers = {"Authorization": f"Bearer {token}"}
        self._waiting: Counter[str] = Counter()
        self._knocking = False
        self._sending: asyncio.Task[None] | None = None
        self._client: httpx2.AsyncClient | None = None

    def ring(self, function: str, count: int) -> None:
        """Say that a function has `count` more invocations. Nobody waits for it."""
        self._waiting[function] = min(self._waiting[function] + count, LISTED_AT_MOST)
        self._start()

    def knock(self) -> None:
        """Ask whether it is there, and runs what it should; nothing rings."""
        self._knocking = True
        self._start()

    async def aclose(self) -> None:
        """Send what is left, within a second, and close."""
        if (sending := self._sending) is not None:
            await asyncio.wait([sending], timeout=0 if self.problem else 1)
            sending.cancel()
            await asyncio.wait([sending])
        if self._client is not None:
            await self._client.aclose()

    def _start(self) -> None:
        if self._sending is None:
            self._sending = asyncio.create_task(self._run())

    async def _run(self) -> None:
        """Send until nothing waits: what comes meanwhile leaves together in the next request."""
        pause = FIRST_PAUSE_SECONDS
        try:
            while self._waiting or self._knocking:
                bells, self._waiting, self._knocking = self._waiting, Counter(), False
                self._note(await self._send(bells))
                if not self.problem:
                    pause = FIRST_PAUSE_SECONDS
                    continue
                for function, count in bells.items():
                    self.ring(function, count)
                if self._waiting:
                    await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
                    pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        finally:
            self._sending = None

    async def _send(self, bells: Counter[str]) -> str:
        """Send one request; returns what was wrong, or nothing."""
        said: dict[str, Any] = {"bells": {**dict.fromkeys(self.functions, 0), **bells}}
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                response = await self._open().post(self.url + PATH, json=said)
        except TimeoutError:
            return "does not answer"
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            return f"does not answer ({type(error).__name__})"
        if response.status_code == 204:
            return ""
        remedy = REMEDIES.get(response.status_code)
        return f"answers {response.status_code}" + (f": {remedy}" if remedy else "")

    def _open(self) -> httpx2.AsyncClient:
        """Return the client. It follows nobody elsewhere: the token is for that host alone."""
        if self._client is None:
            self._client = httpx2.AsyncClient(
                headers=self._headers,
                timeout=ANSWER_SECONDS,
                limits=httpx2.Limits(max_connections=1, keepalive_expiry=KEEP_SECONDS),
                follow_redirects=False,
                trust_env=False,
            )
        return self._client

    def _note(self, problem: str) -> None:
        if problem and not self.problem:
            self.away_since = datetime.now(UTC)
            log.warning("another host does not take bells; its work waits", problem=problem)
        elif self.problem and not problem:
            self.away_since = None
            log.info("another host takes bells again")
        self.problem = problem
        self.answered = self.answered or not problem
