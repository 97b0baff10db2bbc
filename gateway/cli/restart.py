"""`nexus restart`: replace running processes without failing a request."""

import argparse
import time
from collections.abc import Mapping

from gateway.cli.command import Command
from runtime.errors import ServerAway
from runtime.host.layout import Layout
from runtime.host.requests import ask_restart
from runtime.host.stack import read_stack
from runtime.settings import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("name", nargs="?", help="gateway, worker, web, postgres … (default: ours)")
    parser.add_argument("--timeout", type=float, default=60, help="seconds to wait (60)")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Ask the supervisor, and wait until the new processes serve."""
    settings = load_settings(environ)
    stack = read_stack(settings.state_dir)
    if stack is None:
        raise ServerAway("nothing runs here; start it with ./nexus up")
    began = time.monotonic()
    ask_restart(stack, Layout.at(settings.state_dir), args.name, args.timeout)
    print(f"restarted {args.name or 'gateway and worker'} in {time.monotonic() - began:.1f} s")
    return 0


COMMAND = Command("restart", "replace processes without failing a request", add_arguments, run)
