"""What a command is."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from runtime.errors import RuntimeFault


@dataclass(frozen=True)
class Command:
    """One command of `nexus`."""

    name: str
    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Mapping[str, str]], int]
    """Gets what was typed and the environment; returns the exit code."""
    example: str = ""
    """Shown at the end of --help."""
    passes_on: bool = False
    """Words it does not know itself are given to it as `args.options`."""


class WrongUsage(RuntimeFault):
    """What was typed makes no sense here: exit code 2, as for an option that does not exist."""


class Refused(RuntimeFault):
    """What was asked for is not there, or cannot be done to it: exit code 1."""
