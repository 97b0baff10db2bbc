"""Run dead or cancelled invocations again, under the same id: done steps are not repeated."""

import argparse
from collections.abc import Mapping

from gateway.cli.command import Command
from gateway.cli.decide import add_arguments, decide


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Decide."""
    return decide("replay", args, environ)


COMMAND = Command(
    "replay",
    "Run dead or cancelled invocations again, under the same id: done steps are not repeated.",
    add_arguments,
    run,
    example="nexus replay inv_…",
)
