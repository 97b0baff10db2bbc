"""The clock: starts cron functions at their times.

A time is dispatched in the transaction that moves the function's next time, and under a key made
of function and time: any number of clocks may run.
"""

import asyncio
import signal
import time
from contextlib import suppress
from datetime import datetime
from typing import Any

from runtime.errors import ServerAway
from runtime.function import Function
from runtime.line import dsn_of
from runtime.logs import Log
from runtime.numbered import NumberedRegistry
from runtime.registry import Registry
from runtime.schema import mend
from runtime.settings import Settings
from runtime.trigger import Cron
from state import schedule
from state.database import Database
from state.dispatch import dispatch
from state.errors import DatabaseAway, StateFault
from state.retention import forget_old
from state.schedule import Entry

log = Log("clock")

LONGEST_SLEEP_SECONDS = 30.0
RETRY_SECONDS = 1.0
TIDY_SECONDS = 3600.0
TIDY_AFTER_START_SECONDS = 60.0


def cron_of(function: Function[Any]) -> Cron | None:
    """Return the function's times; None: it has none."""
    return next((each for each in function.policy.trigger if isinstance(each, Cron)), None)


class Clock:
    """Fires what is due, then sleeps until the next time."""

    def __init__(self, database: Database, numbered: NumberedRegistry) -> None:
        self._database = database
        self._numbered = numbered
        self._tidy_at = time.monotonic() + TIDY_AFTER_START_SECONDS
        self._functions = {
            numbered.numbers[each.name]: (each, cron)
            for each in numbered.registry
            if (cron := cron_of(each)) is not None
        }

    async def run(self) -> None:
        """Run until cancelled."""
        stored = False
        while True:
            try:
                if not stored:
                    await self._store()
                    stored = True
                await self._tidy()
                await asyncio.sleep(await self.tick())
            except StateFault as error:
                log.warning("the clock waits for Postgres", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def tick(self) -> float:
        """Fire what is due; returns for how many seconds nothing will be."""
        fns = list(self._functions)
        async with self._database.engine() as connection:
            async with connection.transaction():
                now = await schedule.now(connection)
                for entry in await schedule.due(connection, fns):
                    await self._fire(connection, entry, now)
            left = await schedule.seconds_to_next(connection, fns)
        return min(LONGEST_SLEEP_SECONDS, LONGEST_SLEEP_SECONDS if left is None else left)

    async def _tidy(self) -> None:
        """Forget old rows, once an hour."""
        if time.monotonic() >= self._tidy_at:
            self._tidy_at = time.monotonic() + TIDY_SECONDS
            forgotten = {what: n for what, n in (await forget_old(self._database)).items() if n}
            if forgotten:
                log.info("forgot old rows", **forgotten)

    async def _fire(self, connection: Any, entry: Entry, now: datetime) -> None:
        """Dispatch once, if a time is due and not only missed, and set the next time."""
        function, cron = self._functions[entry.fn]
        if (at := cron.due(entry.next_at, now)) is None:
            log.info(
                "a missed time is left out", function=function.name, at=entry.next_at.isoformat()
            )
        else:
            key = f"cron:{function.name}:{at.isoformat()}"
            asked = self._numbered.ask(function.event_type(), tenant=0, key=key)
            await dispatch(connection, [asked], wake=True)
        await schedule.advance(connection, entry.fn, cron.next_after(now))

    async def _store(self) -> None:
        async with self._database.engine() as connection:
            now = await schedule.now(connection)
            entries = [
                Entry(fn, cron.expression, cron.zone, cron.next_after(now))
                for fn, (_, cron) in self._functions.items()
            ]
            await schedule.store_schedule(connection, entries)


async def run_clock(settings: Settings, registry: Registry) -> int:
    """Run the clock as a process of its own, until SIGTERM.

    Raises:
        ServerAway: Postgres does not answer.
    """
    try:
        await mend(dsn_of(settings), log)
        database = await Database.open(dsn_of(settings), application="nexus clock", maximum=1)
        async with database.engine() as connection:
            numbered = await NumberedRegistry.load(connection, registry)
    except DatabaseAway as error:
        raise ServerAway(f"Postgres does not answer ({error})") from None
    task = asyncio.create_task(Clock(database, numbered).run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    log.info("clock started")
    with suppress(asyncio.CancelledError):
        await task
    await database.aclose()
    return 0
