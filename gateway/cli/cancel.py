"""Never run invocations again; a running one is ended within about a second."""

import argparse
from collections.abc import Mapping

from gateway.cli.command import Command
from gateway.cli.decide import add_arguments, decide


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Decide."""
    return decide("cancel", args, environ)


COMMAND = Command(
    "cancel",
    "Never run invocations again; a running one is ended within about a second.",
    add_arguments,
    run,
    example="nexus cancel inv_…",
)
