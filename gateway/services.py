"""What the gateway works with: the dispatcher, the database and the change feed of one process."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from gateway.domains import Domains
from gateway.edge import Edge
from gateway.neighbours import Neighbours
from gateway.problems import away
from gateway.pulse import Pulse
from gateway.registrations import Registrations
from runtime.dispatch import Dispatcher
from runtime.errors import ServerAway
from runtime.line import dsn_of
from runtime.logs import Log
from runtime.registry import Registry
from runtime.schema import mend
from runtime.settings import Settings
from state.changes import ChangeFeed
from state.database import Database
from state.errors import StateFault
from state.sessions import Sessions

log = Log("gateway")

AGAIN_SECONDS = 1.0
CONNECTIONS = 4


@dataclass(frozen=True)
class Opened:
    """Everything that needs Postgres to begin with."""

    dispatcher: Dispatcher
    database: Database
    feed: ChangeFeed


class Services:
    """Opened in the background: while Postgres is away the gateway lives, and says so."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self.settings = settings
        self.registry = registry
        self.stopping = Stopping()
        self.registrations = Registrations(settings)
        self.domains = Domains()
        self._opened: Opened | None = None
        self._opening: asyncio.Task[None] | None = None
        self._beating: list[asyncio.Task[None]] = []
        self._mended = False

    @property
    def opened(self) -> Opened:
        """Return what is open.

        Raises:
            Problem: 503, Postgres has not answered yet.
        """
        if self._opened is None:
            raise away()
        return self._opened

    async def start(self) -> None:
        """Open everything; when Postgres is away, go on trying without holding up the start."""
        try:
            self._opened = await self._open()
        except (ServerAway, StateFault) as error:
            log.warning("postgres does not answer", error=type(error).__name__)
            self._opening = asyncio.create_task(self._keep_trying())

    async def aclose(self) -> None:
        """Close everything."""
        if self._opening is not None:
            self._opening.cancel()
            with suppress(asyncio.CancelledError):
                await self._opening
        await self.registrations.aclose()
        await self.domains.aclose()
        for beating in self._beating:
            beating.cancel()
            await asyncio.wait([beating])
        if self._opened is not None:
            await self._opened.feed.aclose()
            await self._opened.dispatcher.aclose()
            await self._opened.database.aclose()

    async def _keep_trying(self) -> None:
        while self._opened is None:
            await asyncio.sleep(AGAIN_SECONDS)
            with suppress(ServerAway, StateFault):
                self._opened = await self._open()
        log.info("postgres answers")

    async def _open(self) -> Opened:
        dsn = dsn_of(self.settings)
        if not self._mended:  # without its parts too it lives, and says on /readyz what is missing
            await mend(dsn, log, needed=False)
            self._mended = True
        database = await Database.open(dsn, application="nexus pages", maximum=CONNECTIONS)
        try:
            if self.settings.login_code_sha256:
                await Sessions(database).offer_code(self.settings.login_code_sha256)
            dispatcher = await Dispatcher.open(self.settings, self.registry)
            self.stopping.tell.append(dispatcher.streams.look_up)
            feed = ChangeFeed(database)
            await self.registrations.start(database, feed)
            self.domains.start(database, feed)
            hosts = Neighbours(dispatcher.neighbours, database)
            self._beating = [
                asyncio.create_task(hosts.run()),
                asyncio.create_task(Pulse(self.settings, database).run()),
                asyncio.create_task(Edge(self.settings, database, self.domains).run()),
            ]
        except BaseException:
            await database.aclose()
            raise
        return Opened(dispatcher, database, feed)


class Stopping:
    """Whether this process is on its way out, and by when waiting requests have to be answered."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.tell: list[Callable[[], None]] = []
        """Called once it has begun, for those who wait for something else too."""
        self._deadline: float | None = None

    def begin(self, limit_seconds: float) -> None:
        """Tell everybody who waits."""
        self._deadline = asyncio.get_running_loop().time() + limit_seconds
        self.begun.set()
        for tell in self.tell:
            tell()

    def shortened(self, until: float) -> float:
        """Return the earlier of a moment of the loop's clock and our own end."""
        return until if self._deadline is None else min(until, self._deadline)
