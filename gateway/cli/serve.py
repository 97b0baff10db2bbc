"""Run the gateway."""

import argparse
from collections.abc import Mapping

from gateway.cli.command import Command
from gateway.cli.environment import settings_here
from runtime.registry import load_registry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes: nothing."""


def run(_: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Serve until SIGTERM, which finishes requests first."""
    from gateway.server import serve

    settings = settings_here(environ)
    return serve(settings, load_registry(settings.functions))


COMMAND = Command(
    "serve",
    "Run the gateway at GATEWAY_ADDR, or on the socket that the supervisor holds.",
    add_arguments,
    run,
)
