"""`nexus up`: run everything on this machine, until Ctrl-C."""

import argparse
import asyncio
import errno
import time
from collections.abc import Mapping

from gateway.cli.command import Command
from gateway.cli.doctor import told
from gateway.demo import open_demo_shop
from gateway.tokens import admin_tokens, internal_tokens
from runtime.errors import ServerAway
from runtime.host.errors import AlreadyRunning, HostFault, ServerFailed
from runtime.host.journal import Journal
from runtime.host.layout import Layout
from runtime.host.ledger import Ledger
from runtime.host.plan import Plan, make_plan
from runtime.host.stack import lock
from runtime.host.supervisor import Supervisor
from runtime.keys import ring_of
from runtime.settings import Settings, load_settings
from state.errors import DatabaseAway, DiskFull, StateFault
from state.migrate import migrate
from state.surgeon import examine, operate

READY = """
  Nexus {version} is ready  ({seconds:.1f} s)

    address   {address}
    log in    {login_link}
              the link works once, for 15 minutes

    chat      ./nexus chat          the demo shop's agent, here in the terminal
    phone     {address}/phone       the same, as a shopper sees it
    look      ./nexus status

  Ctrl-C stops everything.
"""

OUR_FUNCTIONS = "functions"
LOOK_AGAIN_SECONDS = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("--verbose", action="store_true", help="show every line of every process")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Run the stack; 0 when it was stopped, or runs already."""
    began = time.monotonic()
    settings = load_settings(environ)
    check_secrets(settings)
    layout = Layout.at(settings.state_dir)
    try:
        with lock(layout):
            ledger = Ledger(layout.run / "children.json")
            ledger.end_orphans()
            journal = Journal(layout.logs, verbose=args.verbose)
            plan = make_plan(settings, environ, layout)
            plan.embedded.prepare()
            for remark in plan.remarks:
                journal.say(f"nexus: {remark}", level="warning")
            asyncio.run(supervise(plan, journal, ledger, began, settings, environ))
    except AlreadyRunning as found:
        print(f"nexus: {found}")
        return 0
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise HostFault(f"the disk with {layout.root} is full") from None
        raise HostFault(f"{error.filename or layout.root}: {error.strerror}") from None
    return 0


def check_secrets(settings: Settings) -> None:
    """Refuse secrets that our processes would refuse: one line now, not a restart again and again.

    Raises:
        ConfigurationError: one is malformed, too short or an example. Those not set are made.
    """
    if settings.encryption_key:
        ring_of(settings)
    if settings.internal_api_token:
        internal_tokens(settings)
    if settings.admin_token:
        admin_tokens(settings)


async def supervise(
    plan: Plan,
    journal: Journal,
    ledger: Ledger,
    began: float,
    settings: Settings,
    environ: Mapping[str, str],
) -> None:
    """Run the plan and say when it is ready."""
    dsn = plan.stack.environment["POSTGRES_DSN"]

    async def migrated() -> None:
        try:
            await migrate(dsn)
            await mended(dsn, journal)
        except DiskFull as error:
            raise HostFault(str(error)) from None
        except DatabaseAway as error:
            raise ServerAway(f"Postgres does not answer: {error}") from None
        except StateFault as error:
            raise ServerFailed(str(error)) from None
        except Exception as error:  # a wrong password, a refused statement: the server's own words
            raise ServerFailed(
                f"the database cannot be brought to this version: {error}"
            ) from error

    ours = not settings.production and OUR_FUNCTIONS in settings.functions.split(",")
    opening: list[asyncio.Task[None]] = []

    def ready() -> None:
        if ours:
            environment = {**environ, **plan.stack.environment}
            opening.append(asyncio.create_task(open_demo_shop(environment)))
        seconds = time.monotonic() - began
        card = plan.stack
        print(
            READY.format(
                version=settings.app_version,
                seconds=seconds,
                address=card.address,
                login_link=card.login_link,
            ),
            flush=True,
        )

    try:
        await Supervisor(plan, journal, ledger, migrated).run(ready)
    finally:
        for task in opening:
            task.cancel()
        journal.close()


async def mended(dsn: str, journal: Journal) -> None:
    """Repair the schema. While the engine lacks a part of its own, wait for whoever brings it back.

    Waiting, and not ending: the database that has to be repaired may be one that only runs with us.
    """
    report = await operate(dsn)
    if report.of("repaired") or report.of("refused"):
        journal.say("\n".join(told(report)), level="warning")
    if not report.startable:
        journal.say(
            "nexus: without that nothing can work. Waiting until it is mended; in another terminal:"
            " nexus doctor"
        )
    while not report.startable:
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
        report = await examine(dsn)


COMMAND = Command("up", "run everything on this machine, until Ctrl-C", add_arguments, run)
