"""Start cron functions at their times."""

import argparse
import asyncio
from collections.abc import Mapping

from gateway.cli.command import Command
from gateway.cli.environment import settings_here
from runtime.logs import configure_logging
from runtime.registry import load_registry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes: nothing."""


def run(_: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Run until SIGTERM."""
    from runtime.clock import run_clock

    settings = settings_here(environ)
    configure_logging(settings)
    return asyncio.run(run_clock(settings, load_registry(settings.functions)))


COMMAND = Command(
    "clock",
    "Start cron functions at their times. Any number may run: each time fires once.",
    add_arguments,
    run,
)
