"""`nexus test`: all tests, on servers they start themselves. Arguments go to pytest.

Without arguments three files run at a time: most tests wait more than they compute.
"""

import argparse
import os
import sys
from collections.abc import Mapping
from typing import NoReturn

from gateway.cli.command import Command
from runtime.host.layout import HOME

OURS = ("NEXUS_", "POSTGRES_DSN", "REDIS_URL", "CHROMA_URL", "PORT", "GATEWAY_ADDR", "API_BASE_URL")

ALL = ("-n", "3", "--dist", "loadfile")


def add_arguments(_: argparse.ArgumentParser) -> None:
    """Declare what the command takes: whatever pytest takes."""


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> NoReturn:
    """Become pytest, without the settings of an installation that runs here."""
    clean = {name: value for name, value in environ.items() if not name.startswith(OURS)}
    os.chdir(HOME)
    argv = [sys.executable, "-m", "pytest", *(args.options or ALL)]
    os.execve(sys.executable, argv, clean)  # noqa: S606 - pytest, with the developer's arguments


COMMAND = Command(
    "test",
    "Run all tests. Arguments go to pytest.",
    add_arguments,
    run,
    example="nexus test tests/runtime -k lane",
    passes_on=True,
)
