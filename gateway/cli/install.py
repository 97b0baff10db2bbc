"""`nexus install`: what the other commands need, for images and build steps."""

import argparse
from collections.abc import Mapping

from gateway.cli.command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes: nothing."""


def run(_: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Say so: the script `./nexus` has installed everything before Python runs this."""
    print("Everything is installed: ./nexus does that before any command.")
    return 0


COMMAND = Command(
    "install",
    "Install the pinned packages and the servers into .venv, and stop.",
    add_arguments,
    run,
)
