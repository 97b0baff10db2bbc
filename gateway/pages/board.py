"""The list of invocations: what is shown, and how it is asked for."""

import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from gateway.pages.filter import Filter
from gateway.services import Services
from state.alerts import Alert, Alerts
from state.database import Database
from state.ids import public_id
from state.invocations import STATES, FunctionCount, Invocation, Invocations
from state.oddities import oddities_today
from state.shops import INSTALLATION, shop_numbered

PAGE = 30
ERROR_LETTERS = 200
ALERTS = 20
COUNTS_REST = 20
"""Counting takes at most one part in so many of the time."""
COUNTS_KEPT_SECONDS = 30.0


@dataclass(frozen=True)
class Row:
    """One invocation as people see it."""

    id: str
    function: str
    state: str
    shop: str
    """Its name; empty: the installation itself."""
    lane: bool
    attempts: int
    errors: int
    created_at: datetime
    run_at: datetime | None
    """When it may run, if that is not now."""
    waits_for: str | None
    """permit, or slot: of its rate, at `run_at`. None: neither."""
    done_at: datetime | None
    seconds: float | None
    """From asked to ended; None: it has not."""
    error: str

    @property
    def can_cancel(self) -> bool:
        """Whether it has not ended."""
        return self.state in ("waiting", "running")

    @property
    def can_replay(self) -> bool:
        """Whether it ended badly."""
        return self.state in ("dead", "cancelled")


@dataclass(frozen=True)
class AlertRow:
    """One open alert."""

    id: int
    message: str
    invocation: str
    """The id it is about; empty: something else."""
    created_at: datetime


@dataclass(frozen=True)
class Board:
    """The content of the page, as of one moment."""

    filter: Filter
    rows: list[Row]
    tiles: list[tuple[str, int, str, bool]]
    """State, how many, the address that shows them, and whether they are shown now."""
    alerts: list[AlertRow]
    oddities: int
    """Parts of deliveries that nobody could take, of the last 24 hours."""
    older: str | None
    """The address of the next page; None: this is the last."""
    newest: str | None
    """The address of the first page; None: this is it."""
    waiting_seconds: float
    """How long the oldest one that could run has waited."""
    untouched: bool
    """Whether nothing was ever invoked here."""
    settled: bool
    """Whether the counts are of now; else it is worth looking again."""


class Boards:
    """Reads boards; shares what is the same for everybody."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._counts: list[FunctionCount] = []
        self._fresh_until = 0.0
        self._shops: dict[int, str] = {INSTALLATION: ""}

    async def read(self, wanted: Filter) -> Board:
        """Read everything the page shows.

        Raises:
            DatabaseAway: Postgres does not answer.
        """
        database = self._services.opened.database
        found = await Invocations(database).page(
            state=wanted.state, function=wanted.function, before=wanted.before, limit=PAGE + 1
        )
        counts, settled = await self._counted(database)
        sums: Counter[str] = Counter()
        waited = 0.0
        for each in counts:
            if wanted.function in (None, each.function):
                sums[each.state] += each.count
                waited = max(waited, each.oldest_waiting_seconds)
        more = len(found) > PAGE
        return Board(
            filter=wanted,
            rows=[await self.row(each) for each in found[:PAGE]],
            tiles=[
                (
                    state,
                    sums[state],
                    wanted.address(state=None if wanted.state == state else state, before=None),
                    wanted.state == state,
                )
                for state in STATES
            ],
            alerts=[_alert_row(each) for each in await Alerts(database).open(ALERTS)],
            oddities=await self._odd(database),
            older=wanted.address(before=found[PAGE - 1].id) if more else None,
            newest=wanted.address(before=None) if wanted.before is not None else None,
            waiting_seconds=waited,
            untouched=not found and wanted == Filter() and not sums.total(),
            settled=settled,
        )

    async def row(self, found: Invocation) -> Row:
        """Return an invocation as people see it."""
        ended = found.done_at
        later = found.run_at is not None and found.run_at > found.created_at
        return Row(
            id=public_id(found.id),
            function=found.function,
            state=found.state,
            shop=await self._shop(found.tenant),
            lane=found.lane,
            attempts=found.attempts,
            errors=found.errors + found.crashes,
            created_at=found.created_at,
            run_at=found.run_at if later and found.state == "waiting" else None,
            waits_for=found.waits_for if found.state == "waiting" else None,
            done_at=ended,
            seconds=max(0.0, (ended - found.created_at).total_seconds()) if ended else None,
            error=(found.error or "")[:ERROR_LETTERS] if found.state != "done" else "",
        )

    async def _counted(self, database: Database) -> tuple[list[FunctionCount], bool]:
        """Return counts, and whether they are new: what takes long is kept for longer."""
        began = time.monotonic()
        if began < self._fresh_until:
            return self._counts, False
        self._counts = await Invocations(database).counts()
        took = time.monotonic() - began
        self._fresh_until = began + min(took * COUNTS_REST, COUNTS_KEPT_SECONDS)
        return self._counts, True

    async def _odd(self, database: Database) -> int:
        async with database.engine() as connection:
            return await oddities_today(connection)

    async def _shop(self, tenant: int) -> str:
        if tenant not in self._shops:
            shop = await shop_numbered(self._services.opened.database, tenant)
            self._shops[tenant] = shop.name if shop else str(tenant)
        return self._shops[tenant]


def _alert_row(alert: Alert) -> AlertRow:
    about = public_id(alert.subject) if alert.kind == "dead" else ""
    return AlertRow(alert.id, alert.message[:ERROR_LETTERS], about, alert.created_at)
