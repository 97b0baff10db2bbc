"""What a command of the command line is."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One command: `add_arguments` describes what it takes, `run` does it and returns the code."""

    name: str
    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Mapping[str, str]], int]
    example: str = ""
    """Lines a person can type, shown under `--help`."""
    joins: bool = False
    """Works with the stack that runs here: unset variables are filled from its card."""
