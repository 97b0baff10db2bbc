"""What several commands need: a database, a dispatcher, a shop's number, invocations by id."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from gateway.cli.command import WrongUsage
from gateway.cli.environment import settings_here
from runtime.dispatch import Dispatcher
from runtime.errors import RuntimeFault, ServerAway
from runtime.function import suggest
from runtime.line import dsn_of
from runtime.registry import load_registry
from runtime.settings import Settings
from state.database import Database
from state.errors import StateFault
from state.ids import INVOCATION, parse_id
from state.shops import INSTALLATION, Shop, shop_details, shop_named

DEMO = "demo"
DEMO_LOOKS, DEMO_LOOK_SECONDS = 50, 0.1


class UnusableId(RuntimeFault):
    """That is no id of such a thing."""


@asynccontextmanager
async def open_database(environ: Mapping[str, str]) -> AsyncIterator[Database]:
    """Lend the database of the installation that runs here."""
    settings = settings_here(environ)
    with _away(settings):
        database = await Database.open(dsn_of(settings), application="nexus cli", maximum=2)
    try:
        with _away(settings):
            yield database
    finally:
        await database.aclose()


@asynccontextmanager
async def open_dispatcher(environ: Mapping[str, str]) -> AsyncIterator[Dispatcher]:
    """Lend a dispatcher of the installation that runs here."""
    settings = settings_here(environ)
    if settings.postgres_dsn is None:
        raise ServerAway(NOTHING_RUNS)
    dispatcher = await Dispatcher.open(settings, load_registry(settings.functions))
    try:
        yield dispatcher
    finally:
        await dispatcher.aclose()


async def tenant_of(environ: Mapping[str, str], shop: str | None) -> int:
    """Return the number of the shop that was named; none: the installation.

    Raises:
        WrongUsage: there is no such shop.
    """
    if shop is None:
        return INSTALLATION
    async with open_database(environ) as database:
        found = await shop_named(database, shop)
        if found is None:
            raise await _no_shop(database, shop)
    return found.tenant


async def shop_of(environ: Mapping[str, str], name: str | None) -> Shop:
    """Return the shop that was named; none: the demo shop, on a machine of one's own.

    Raises:
        WrongUsage: there is no such shop, or none was named in production.
    """
    settings = settings_here(environ)
    if name is None and settings.production:
        raise WrongUsage("--shop NAME is needed here: this is no demo; see `nexus shops`")
    async with open_database(environ) as database:
        found = await shop_named(database, name or DEMO)
        for _ in range(0 if name else DEMO_LOOKS):  # it is opened just after `nexus up` is ready
            if found is not None:
                break
            await asyncio.sleep(DEMO_LOOK_SECONDS)
            found = await shop_named(database, DEMO)
        if name is not None and (found is None or found.tenant == INSTALLATION):
            raise await _no_shop(database, name)
    if found is None:
        raise WrongUsage(f"there is no shop {DEMO!r}; `nexus up` opens it")
    return found


async def _no_shop(database: Database, name: str) -> WrongUsage:
    """Say that there is no such shop, with the nearest name."""
    near = suggest(name, [each.name for each in await shop_details(database)])
    return WrongUsage(f"there is no shop {name!r}{near}; see `nexus shops`")


def number_of(text: str, prefix: str = INVOCATION) -> int:
    """Return the number of an id as typed.

    Raises:
        UnusableId: it is none.
    """
    try:
        return parse_id(text, prefix)
    except ValueError as error:
        raise UnusableId(str(error)) from None


NOTHING_RUNS = "no Nexus runs here and POSTGRES_DSN is not set; start one with `./nexus up`"


class _away:  # noqa: N801 - reads as a word in `with`
    """Turn a database that does not answer into one line."""

    def __init__(self, settings: Settings) -> None:
        if settings.postgres_dsn is None:
            raise ServerAway(NOTHING_RUNS)

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, StateFault):
            raise ServerAway(f"Postgres does not answer ({error})") from None
