"""The intake clock's pulse: once a second, prove that statuses can reach us, and count that second.

A send that nobody answered is sent again only when silence proves that it did not arrive
(`state/rules/evidence.py`). Silence proves something only while our doors are open. So each second,
as long as such a send exists, every gateway asks for its own public door the way a provider
would, through Caddy, and then ticks the clock in Postgres. Caddy, gateway or Postgres down: no
tick. What could make the clock say more than is true, and why it does not:

- *Nobody ticks while nobody waits.* An attempt notes the ticks at its beginning and is open from
  then on, so the first pulse after it, within a second, ticks for it. A clock that stood still
  over an idle hour is no gap: a gap needs an attempt that was open for the same three seconds.
- *The doors were closed when the attempt began.* Then no pulse comes. When one comes at last, the
  clock has stood still for long and the attempt is as old: a gap, as it should be.
- *Several gateways.* The update asks for 0.9 s since the last tick, under the row's lock: any
  number of gateways tick once a second. The judge also asks for the time that Postgres' clock
  shows, so ten ticks are never less than ten seconds.
- *A gateway that stood still between proof and tick.* The proof carries Postgres' time from
  before it was made; the update refuses one older than two seconds.
- *An old connection that still works while new ones are refused.* Every proof connects anew.
- *The status is in the house, and nobody has read it.* A delivery that was answered with 200 will
  not come again, and while the workers are behind it decides nothing yet. So each tick notes how
  old the oldest unread delivery is, and the judge takes that off: silence counts up to that
  delivery, and no further.
- *Postgres' clock jumps.* Forward: looks like a gap, which only makes us wait. Backward: `at` lies
  in the future, the clock is set anew, and that is called a gap too.
- *The way from the provider to Caddy is cut* (name, certificate, network). From inside nobody sees
  it, unless NEXUS_INTAKE_PROBE_URL leads around from outside. So the judge also asks for a status
  of a later send of the same number.
- *A short hole.* Up to three seconds without a tick are no gap: providers repeat at once, and Caddy
  holds requests while a gateway restarts. The missing seconds are not counted all the same.

When the door stays closed for half a minute while sends wait, an alert says so: without ticks they
would wait for ever.
"""

import asyncio
import time

import httpx2

from runtime.logs import Log
from runtime.settings import Settings
from state.database import Database
from state.errors import DatabaseAway
from state.intake_clock import asked_at, tell_closed, tick

log = Log("pulse")

PULSE_SECONDS = 1.0
PROBE_SECONDS = 1.5
ALERT_SECONDS = 30.0


class Pulse:
    """Ticks the intake clock of an installation; one per gateway process."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.url = probe_url(settings)
        self._database = database
        self._closed_at: float | None = None
        """Since when the door does not answer although a send waits."""

    async def run(self) -> None:
        """Prove and tick until cancelled. Nothing that goes wrong ends it."""
        limits = httpx2.Limits(max_keepalive_connections=0)
        async with httpx2.AsyncClient(
            timeout=PROBE_SECONDS, limits=limits, trust_env=False, follow_redirects=False
        ) as client:
            while True:
                begun = time.monotonic()
                try:
                    await self.beat(client)
                except DatabaseAway:
                    pass  # no tick: that is what this clock shows
                except Exception as error:
                    log.error("the intake clock stands still", trace=error)
                await asyncio.sleep(max(0.1, PULSE_SECONDS - (time.monotonic() - begun)))

    async def beat(self, client: httpx2.AsyncClient) -> None:
        """Count this second if some send waits and the public door answers."""
        async with self._database.engine() as connection:
            asked = await asked_at(connection)
        if asked is None:
            self._closed_at = None
            return
        status = await self._probe(client)
        if not 200 <= status < 300:
            await self._closed(status)
            return
        if self._closed_at is not None:
            self._closed_at = None
            log.info("the public door answers again")
        async with self._database.engine() as connection:
            await tick(connection, asked)

    async def _probe(self, client: httpx2.AsyncClient) -> int:
        """Return the HTTP status of the public door; 0: nobody answered."""
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                response = await client.get(self.url, headers={"Connection": "close"})
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, OSError):
            return 0
        return response.status_code

    async def _closed(self, status: int) -> None:
        now = time.monotonic()
        if self._closed_at is None:
            self._closed_at = now
            log.warning("the public door does not answer; sends in doubt wait", status=status)
        elif now - self._closed_at > ALERT_SECONDS:
            answer = f"answers {status}" if status else "does not answer"
            async with self._database.engine() as connection:
                await tell_closed(
                    connection,
                    f"Messages in doubt wait, since webhooks may not reach us: {self.url} {answer}."
                    " Put that right, or set API_BASE_URL or NEXUS_INTAKE_PROBE_URL.",
                )


def probe_url(settings: Settings) -> str:
    """Return the address that shows whether webhooks can reach us."""
    if settings.intake_probe_url:
        return settings.intake_probe_url
    if settings.production and settings.api_base_url:
        return f"{settings.api_base_url.rstrip('/')}/healthz"
    return f"http://localhost:{settings.port}/healthz"  # the one name that Caddy knows here
