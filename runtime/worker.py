"""A worker: one process, one event loop that runs the attempts of all its functions.

It is safe to kill at any moment: what it holds is found and run again elsewhere, and nothing it
does afterwards can commit.
"""

import asyncio
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import uvloop

from runtime.calls import Calls
from runtime.clock import Clock
from runtime.collector import spare_what_stays
from runtime.emitter import Emitter
from runtime.errors import ConfigurationError, ServerAway
from runtime.keys import check_keys
from runtime.lease import Lease, Signals
from runtime.line import dsn_of
from runtime.listener import Listener
from runtime.logs import Log
from runtime.numbered import NumberedRegistry
from runtime.placement import neighbours, served_here
from runtime.platform import Services, ring
from runtime.providers import Providers
from runtime.registry import Registry
from runtime.ringer import Ringer
from runtime.runner import Runner
from runtime.schema import mend
from runtime.settings import Settings
from runtime.steps import Steps
from state.database import Database
from state.errors import DatabaseAway, DatabaseUnfit
from state.health import check_durability
from state.scaling import declare_scaling

log = Log("worker")

PATIENCE_SECONDS = 30.0
"""A worker that starts waits this long for Postgres; who started it may then do so again."""
AGAIN_SECONDS = 0.5
CONNECTIONS = 8
"""That all attempts of a worker share."""


async def work(
    settings: Settings,
    registry: Registry,
    only: Sequence[str] = (),
    *,
    clock: bool = False,
    quarantine: bool = False,
) -> int:
    """Run a worker until SIGTERM, which drains it; returns the exit code.

    Args:
        settings: of this process.
        registry: all functions.
        only: names of those to serve; none: all that no other host runs.
        clock: also start cron functions at their times.
        quarantine: run only suspects of a crash, one at a time, and end when there are none.

    Raises:
        ConfigurationError: another host runs what is asked for.
        ServerAway: Postgres does not answer.
        UnknownFunction: in `only`.
    """
    for broken in registry.broken:
        log.error("a function file does not import; the others run", file=str(broken))
    async with AsyncExitStack() as closing:
        return await _work(settings, registry, tuple(only), clock, quarantine, closing)


async def _work(
    settings: Settings,
    registry: Registry,
    only: tuple[str, ...],
    clock: bool,
    quarantine: bool,
    closing: AsyncExitStack,
) -> int:
    """Put the parts together and run them; `closing` closes them, the last one first."""
    dsn = dsn_of(settings)
    here = served_here(settings, registry, only)
    elsewhere = neighbours(settings, registry)
    database = await _opened(dsn, quarantine)
    closing.push_async_callback(database.aclose)
    try:
        async with database.engine() as connection:
            numbered = await NumberedRegistry.load(connection, registry)
            await declare_scaling(connection, numbered.scaling())
    except DatabaseAway as error:
        raise ServerAway(f"Postgres does not answer ({error})") from None
    await _check_durability(settings, database)
    await check_keys(settings, database)
    if not database.roles:
        log.warning("this server forbids roles: only the queries keep shops apart")
    served = dict(numbered.served(here))
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    ringer = Ringer(redis_url, elsewhere)
    closing.push_async_callback(ringer.aclose)
    lease = Lease(
        dsn,
        seconds=settings.lease_seconds,
        blocked_seconds=settings.blocked_seconds,
        solo=quarantine,
        roles=database.roles,
        fns=list(served),
    )
    later: list[Runner] = []  # the lease needs the runner's ears, the runner the lease's number
    number = await lease.start(_relay(later))
    closing.push_async_callback(lease.stop)
    steps = Steps(database, number)
    closing.push_async_callback(steps.aclose)
    emitter = Emitter(database, number)
    closing.push_async_callback(emitter.aclose)
    calls = Calls(
        database,
        number,
        lambda asked: ring(services, asked),
        wake=settings.notify_wake,
        alone=quarantine,
    )
    closing.push_async_callback(calls.aclose)
    services = Services(
        settings,
        database,
        numbered,
        ringer,
        lambda asked: later[0].pool.expect(asked),
        steps,
        emitter,
        number,
        calls,
        Providers(database, told=True),
    )
    runner = Runner(settings, services, served, lease, quarantine)
    later.append(runner)
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, runner.stop)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, runner.retire)
    background: list[Any] = []
    if redis_url and not quarantine:
        numbers = {function.name: fn for fn, function in reversed(served.items())}
        listener = Listener(redis_url, numbers, runner.heard, runner.bell_pause_seconds)
        closing.push_async_callback(listener.aclose)
        background.append(listener.run())
    if clock:
        background.append(Clock(database, numbered).run())
    names = sorted({function.name for function in served.values()})
    spare_what_stays()
    log.info("worker started", worker=number, functions=len(names), quarantine=quarantine)
    if elsewhere:
        log.info("other hosts run some functions", functions=",".join(sorted(elsewhere)))
    code = await runner.run(background)
    log.info("worker stopped", worker=number)
    return code


async def _opened(dsn: str, quarantine: bool) -> Database:
    """Open the pool of the attempts, and wait for a Postgres that is just being started."""
    loop = asyncio.get_running_loop()
    until, told = loop.time() + PATIENCE_SECONDS, False
    while True:
        try:
            if not quarantine:  # who started it has looked
                await mend(dsn, log)
            return await Database.open(dsn, application="nexus attempts", maximum=CONNECTIONS)
        except DatabaseAway as error:
            if loop.time() >= until:
                raise ServerAway(f"Postgres does not answer ({error})") from None
            if not told:
                log.warning("postgres does not answer; waiting for it", seconds=PATIENCE_SECONDS)
                told = True
            await asyncio.sleep(AGAIN_SECONDS)


async def _check_durability(settings: Settings, database: Database) -> None:
    """Refuse a Postgres that acknowledges what it may still lose; locally, warn."""
    try:
        async with database.engine() as connection:
            await check_durability(connection)
    except DatabaseUnfit as error:
        if settings.production and not settings.allow_unsafe_durability:
            raise ConfigurationError(
                f"{error}, or set NEXUS_ALLOW_UNSAFE_DURABILITY=true to lose commits knowingly"
            ) from None
        log.warning(str(error))


def _relay(later: list[Runner]) -> Signals:
    """Return signals that reach the runner once it is there."""

    def pass_on(name: str) -> Any:
        return lambda *given: [getattr(each.signals(), name)(*given) for each in later]

    return Signals(pass_on("lost"), pass_on("adrift"), pass_on("cancel"), pass_on("suspects"))


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return the loop that workers and gateway run on."""
    return uvloop.new_event_loop()
