"""Find the command, run it, and turn what went wrong into one line and an exit code."""

import argparse
import contextlib
import difflib
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.cli.command import Command

HOME = Path(__file__).resolve().parents[2]
DONE, FAILED, USAGE, AWAY, CONFIGURATION, INTERRUPTED = 0, 1, 2, 69, 78, 130

GROUPS = {
    "Run it": ("up", "status", "logs", "restart"),
    "Work with functions": ("functions", "invoke", "invocations", "invocation", "replay", "cancel"),
    "One process (what the Procfile runs)": ("edge", "serve", "work", "clock", "migrate"),
    "Develop": ("test", "check", "bench"),
}
COMMANDS = {name: f"gateway.cli.{name}" for names in GROUPS.values() for name in names}
PASSED_ON = ("test", "bench")
"""Commands whose arguments belong to another program."""


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run one command line and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    environ = dict(os.environ if environ is None else environ)
    name = words[0] if words else "--help"
    if name in ("-h", "--help", "help"):
        if words[1:] and words[1] in COMMANDS:
            return main([words[1], "--help"], environ)
        print(overview())
        return DONE
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean `./nexus {near[0]}`?" if near else "./nexus --help lists them all"
        return say(f"no command {name!r}; {hint}", USAGE)
    try:
        return run(load(name), words[1:], environ)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `nexus invocations | head`
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return DONE
    except Exception as error:
        code = code_of(error)
        if code is None:
            raise
        return say(str(error), code)


def run(command: Command, words: list[str], environ: Mapping[str, str]) -> int:
    """Parse the words after the command's name, and run it."""
    from gateway.cli.environment import read_env_file, with_stack

    parser = parser_of(command)
    if command.name in PASSED_ON and words[:1] not in (["-h"], ["--help"]):
        args = argparse.Namespace(arguments=words)
    else:
        try:
            args = parser.parse_args(words)
        except SystemExit as end:  # argparse has said what is wrong
            return int(end.code or 0)
    environ = {**read_env_file(HOME / ".env"), **environ}
    return command.run(args, with_stack(environ) if command.joins else environ)


def load(name: str) -> Command:
    """Import the module of one command."""
    command: Command = importlib.import_module(COMMANDS[name]).COMMAND
    return command


def parser_of(command: Command) -> argparse.ArgumentParser:
    """Return the parser of one command."""
    example = "".join(f"\n  {line}" for line in command.example.strip().splitlines())
    parser = argparse.ArgumentParser(
        prog=f"nexus {command.name}",
        description=command.summary[:1].upper() + command.summary[1:] + ".",
        epilog=f"for instance:{example}" if example else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    return parser


def overview() -> str:
    """Return what `nexus --help` prints."""
    lines = ["Nexus: functions that run durably, on one host.", "", "  ./nexus COMMAND [--help]", ""]
    for title, names in GROUPS.items():
        lines += [title, *(f"  {name:<13}{load(name).summary}" for name in names), ""]
    lines += ["Begin with  ./nexus up", "then        ./nexus invoke hello name=Ana"]
    return "\n".join(lines)


def code_of(error: Exception) -> int | None:
    """Return the exit code of a fault of ours; None: it is a defect, show where."""
    from runtime import errors as faults
    from state import errors as state

    table: tuple[tuple[type[Exception] | tuple[type[Exception], ...], int], ...] = (
        ((faults.ConfigurationError, state.DatabaseUnfit, state.CredentialSealed), CONFIGURATION),
        ((faults.ServerAway, state.DatabaseAway), AWAY),
        ((faults.UnknownFunction, faults.InvalidEvent, faults.DeclarationError), USAGE),
        ((faults.RuntimeFault, state.StateFault), getattr(error, "exit_code", FAILED)),
    )
    return next((code for kinds, code in table if isinstance(error, kinds)), None)


def say(message: str, code: int) -> int:
    """Print one line about what is wrong; returns the code."""
    print(f"nexus: {message}", file=sys.stderr)
    return code
