"""`nexus chroma`: become Chroma, where vectors are kept, on a host or platform of its own."""

import argparse
import os
from collections.abc import Mapping
from typing import NoReturn

from gateway.cli.command import Command, WrongUsage
from runtime.host.chroma import Chroma
from runtime.host.errors import HostFault
from runtime.host.layout import Layout
from runtime.settings import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument(
        "--listen",
        default="127.0.0.1:8000",
        metavar="HOST:PORT",
        help="default: %(default)s. It asks for no password: a private network only",
    )


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> NoReturn:
    """Replace this process by Chroma; its environment holds no secret of ours."""
    settings = load_settings(environ, keyless=True)
    host, _, port = args.listen.rpartition(":")
    if not host or not port.isdigit():
        raise WrongUsage(f"--listen {args.listen!r} is not HOST:PORT, as 0.0.0.0:8000")
    server = Chroma(Layout.at(settings.state_dir).folder("chroma"), int(port), host.strip("[]"))
    server.prepare()
    program = server.program()
    argv = program.argv
    os.chdir(server.folder)
    try:
        os.execve(argv[0], argv, dict(program.environment))  # noqa: S606 - our own arguments
    except OSError as error:
        raise HostFault(f"cannot start {argv[0]}: {error.strerror}") from None


COMMAND = Command(
    "chroma",
    "Run Chroma, which keeps the vectors in NEXUS_STATE_DIR (replaces itself).",
    add_arguments,
    run,
    example="nexus chroma --listen 0.0.0.0:8000",
)
