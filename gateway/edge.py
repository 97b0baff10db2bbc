"""Shops' domains at the edge: Caddy's configuration is made to agree with the table `domain`.

The Caddyfile's public door serves whoever was admitted to pages or to the API, which it remembers
in two variables of the request. A shop's domain is one route before that, which matches its name
and sets both. It leads nowhere by itself: what is open under it is what the Caddyfile opens, word
for word, and nothing private can be.

Caddy forgets these routes whenever it is started or reloaded, so every gateway looks each second
whether the configuration is still the one it left. Several gateways, and whoever else changes the
configuration, lose nothing:

- *Each write names the state that it is based on* (If-Match). When another came first, Caddy does
  nothing, and we read again.
- *The table is read after the configuration.* Whoever wrote that configuration had read the table
  before; so ours is at least as new, and an older reading never undoes a newer one.

While Postgres is away, what is remembered is applied; before it was read at all, nothing is.

Every write makes Caddy start anew inside, which can close a connection that is just being made or
idle. So changes that come in quick succession are written together.
"""

import asyncio
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Any

from gateway.caddy import Admin, EdgeFault, EdgeMoved, EdgeRefused
from gateway.domains import Domains
from runtime.host.caddy import admin_address
from runtime.logs import Log
from runtime.settings import Settings
from state.database import Database
from state.domains import note_applied, note_reached
from state.errors import StateFault

log = Log("edge")

SERVERS = "/config/apps/http/servers"
MARK = "nexus-domain:"
"""How the ids of our routes begin."""
DOOR = "Nexus-Door"
ADMITTED = {"handler": "vars", "app": "yes", "api": "yes"}
"""What the Caddyfile's public door asks for, site (public)."""

LOOK_SECONDS = 1.0
REST_SECONDS = 0.5
"""After a write, changes are gathered for this long."""
REFUSED_SECONDS = 10.0
BEAT_SECONDS = 10.0
AWAY_SECONDS = 30.0
"""When no gateway has reached Caddy for this long, people are told so."""
ATTEMPTS = 20
LASTING = 3
"""Looks that fail in a row before it is told: Caddy may just be starting."""


def with_domains(servers: Any, names: Collection[str]) -> dict[str, Any]:
    """Return Caddy's HTTP servers with exactly these domains admitted to the public door.

    Everything that is not ours stays as it is, and in its order.

    Raises:
        EdgeRefused: there is no public door of ours, or Caddy would turn it into HTTPS.
    """
    if not isinstance(servers, dict):
        servers = {}
    found = {}
    admitting = 0
    for key, server in servers.items():
        routes = server.get("routes") or []
        kept = [route for route in routes if not _ours(route)]
        wanted = [_admission(key, name) for name in sorted(names)] if _public(server) else []
        if wanted and not (server.get("automatic_https") or {}).get("disable"):
            raise EdgeRefused(f"{key}: without `auto_https off` Caddy would turn it into HTTPS")
        admitting += bool(wanted)
        changed = [*wanted, *kept]
        found[key] = server if changed == routes else {**server, "routes": changed}
    if names and not admitting:
        raise EdgeRefused("Caddy runs without our public door; start it with ./nexus edge")
    return found


def _admission(server: str, name: str) -> dict[str, Any]:
    return {
        "@id": f"{MARK}{server}:{name}",
        "match": [{"host": [name]}],
        "handle": [dict(ADMITTED)],
    }


def _ours(route: Any) -> bool:
    return isinstance(route, dict) and str(route.get("@id", "")).startswith(MARK)


def _public(server: Any) -> bool:
    """Say whether a server leads to the gateway by the public door, and by no other."""
    return set(_doors(server)) == {"public"}


def _doors(node: Any) -> Iterator[str]:
    """Find what is said to the gateway about the door, wherever it is said."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == DOOR:
                yield from value
            else:
                yield from _doors(value)
    elif isinstance(node, list):
        for value in node:
            yield from _doors(value)


class Edge:
    """Keeps Caddy as the table says; one per gateway process."""

    def __init__(self, settings: Settings, database: Database, domains: Domains) -> None:
        self._admin = Admin(admin_address(settings))
        self._database = database
        self._domains = domains
        self._settled: tuple[str, frozenset[str]] | None = None
        """The configuration's tag, and the domains, when they last agreed; None: not known."""
        self._beaten_at = self._written_at = -BEAT_SECONDS
        self._failures = 0
        self._told = False

    async def run(self) -> None:
        """Look until cancelled. Nothing that goes wrong ends it."""
        while True:
            pause = LOOK_SECONDS
            try:
                await self.look()
                self._succeed()
            except EdgeFault as fault:
                pause = self._fail(fault)
            except StateFault:
                pass  # it is only not noted: others say that Postgres is away
            except Exception as error:
                log.error("domains stay as they are", trace=error)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._domains.news.wait()
            await asyncio.sleep(max(0.0, self._written_at + REST_SECONDS - time.monotonic()))
            self._domains.news.clear()

    async def look(self) -> None:
        """Compare, and put right what differs.

        Raises:
            EdgeFault: Caddy does not answer, or does not want it.
            StateFault: it is done, but could not be noted.
        """
        tag = await self._admin.tag(SERVERS)
        if self._settled is None or self._settled != (tag, self._domains.names):
            await self.reconcile()
        await self._note()

    async def reconcile(self) -> None:
        """Make Caddy's configuration agree with the table. Safe to run twice, and side by side.

        Raises:
            EdgeFault: Caddy does not answer, or does not want it.
        """
        for _ in range(ATTEMPTS):
            servers, tag = await self._admin.read(SERVERS)
            with suppress(StateFault):
                await self._domains.read(self._database)  # after the configuration: see above
            names = self._domains.names
            if names is None:
                return
            wanted = with_domains(servers, names)
            if wanted == servers:
                self._settled = (tag, names)
                return
            with suppress(EdgeMoved):
                await self._admin.replace(SERVERS, wanted, tag)
                self._written_at = time.monotonic()
                log.info("domains applied", domains=len(names))
        raise EdgeMoved(f"others changed Caddy's configuration {ATTEMPTS} times meanwhile")

    async def _note(self) -> None:
        """Write down what was seen, for those who cannot ask Caddy themselves."""
        if self._settled is None or not self._settled[1]:
            return
        if waiting := [name for name in self._domains.waiting if name in self._settled[1]]:
            async with self._database.engine() as connection:
                await note_reached(connection)
                await note_applied(connection, waiting)
            await self._domains.read(self._database)
        elif time.monotonic() - self._beaten_at > BEAT_SECONDS:
            async with self._database.engine() as connection:
                await note_reached(connection)
            self._beaten_at = time.monotonic()

    def _fail(self, fault: EdgeFault) -> float:
        """Tell of a problem that lasts, once; return after how long to try again."""
        self._settled = None
        self._failures += 1
        refused = isinstance(fault, EdgeRefused)
        lasting = refused or self._failures >= LASTING
        if lasting and not self._told and self._domains.names:  # no domains: nobody misses it
            log.warning("shops' domains are not kept", problem=str(fault))
            self._told = True
        return REFUSED_SECONDS if refused else LOOK_SECONDS

    def _succeed(self) -> None:
        if self._told:
            log.info("shops' domains are kept again")
        self._failures, self._told = 0, False
