"""`nexus edge`: become Caddy, the only public listener."""

import argparse
import contextlib
import os
from collections.abc import Mapping
from typing import NoReturn

from gateway.cli.command import Command
from runtime.host.binaries import caddy
from runtime.host.caddy import caddy_environment
from runtime.host.errors import HostFault
from runtime.host.layout import HOME, Layout
from runtime.settings import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("--adapt", action="store_true", help="print Caddy's configuration and stop")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> NoReturn:
    """Replace this process by Caddy; its environment holds no secret of ours."""
    settings = load_settings(environ, keyless=True)
    program = str(caddy())
    environment = caddy_environment(settings, environ)
    configuration = ["--config", str(HOME / "Caddyfile"), "--adapter", "caddyfile"]
    if args.adapt:
        become([program, "adapt", "--pretty", *configuration], environment)
    folder = Layout.at(settings.state_dir).folder("caddy")
    take_turns()
    os.chdir(folder)  # its admin socket is a relative path: absolute ones may be too long
    kept = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    become([program, "run", *configuration], {**environment, **kept})


def take_turns() -> None:
    """Have Caddy wait for a free processor instead of taking one from whoever runs (Linux).

    It is woken for each message of each connection, and else breaks in on gateway and Postgres.
    """
    with contextlib.suppress(AttributeError, OSError):  # no such thing here, or not allowed
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def become(argv: list[str], environment: Mapping[str, str]) -> NoReturn:
    """Replace this process."""
    try:
        os.execve(argv[0], argv, dict(environment))  # noqa: S606 - Caddy, with our own arguments
    except OSError as error:
        raise HostFault(f"cannot start {argv[0]}: {error.strerror}") from None


COMMAND = Command("edge", "run Caddy, the public door (replaces itself)", add_arguments, run)
