"""Run a worker."""

import argparse
import asyncio
from collections.abc import Mapping

from gateway.cli.command import Command, WrongUsage
from gateway.cli.environment import settings_here
from runtime.logs import configure_logging
from runtime.placement import served_here
from runtime.registry import load_registry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("functions", nargs="*", metavar="FUNCTION", help="default: all")
    parser.add_argument(
        "--except",
        dest="others",
        nargs="+",
        default=[],
        metavar="FUNCTION",
        help="all but these, which have processes of their own",
    )
    parser.add_argument("--clock", action="store_true", help="also start cron functions")
    parser.add_argument("--quarantine", action="store_true", help=argparse.SUPPRESS)


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Work until SIGTERM, which drains."""
    from runtime.worker import new_event_loop, work

    settings = settings_here(environ)
    configure_logging(settings)
    registry = load_registry(settings.functions)
    wanted = args.functions
    if args.others:
        if wanted:
            raise WrongUsage("name the functions to serve, or those not to: not both")
        others = {registry.named(name).name for name in args.others}
        wanted = [name for name in served_here(settings, registry) if name not in others]
        if not wanted:  # which would mean all of them
            raise WrongUsage("--except leaves no function to serve")
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(
            work(
                settings,
                registry,
                wanted,
                clock=args.clock,
                quarantine=args.quarantine,
            )
        )


COMMAND = Command(
    "work",
    "Run a worker. SIGTERM drains it: running attempts finish or are handed back.",
    add_arguments,
    run,
    example="nexus work agent_run message_send",
)
