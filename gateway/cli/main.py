"""`nexus`: find the command, run it, and turn what went wrong into one line and an exit code."""

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.cli.command import Command, WrongUsage
from gateway.cli.environment import read_env_file
from runtime import errors
from state.errors import DatabaseAway, StateFault

DONE, FAILED, USAGE, AWAY, CONFIGURATION = 0, 1, 2, 69, 78
INTERRUPTED = 130

COMMANDS = {
    "install": "install what the others need, and stop (for build steps)",
    "up": "start everything here, and stop it with Ctrl-C",
    "status": "show what runs, and how it does",
    "scale": "what functions have to do, and how many processes they get",
    "chat": "talk to a shop's agent, here in the terminal",
    "conversations": "list a shop's conversations",
    "conversation": "show one conversation; take it over, give it back",
    "knowledge": "what a shop's agent knows: list, add, remove documents",
    "catalogue": "show a shop's catalogues, or import one",
    "shops": "list shops, or add one",
    "apps": "list app registrations, add or remove one",
    "agents": "how shops' agents work: show or set model, key, instructions, limits",
    "budgets": "what agents may spend, what they spent, and what is reserved",
    "channels": "list a shop's WhatsApp numbers; add, stop, resume one",
    "keys": "the keys that seal credentials: show, new, rotate, retire, verify",
    "domains": "list shops' own domains; add or remove one",
    "backup": "write one file with everything, while it runs",
    "restore": "bring back what a back-up holds",
    "invoke": "run a function and print its result",
    "oddities": "what providers posted and nobody could take: list, show",
    "functions": "list the functions",
    "invocations": "list invocations",
    "invocation": "show one invocation",
    "replay": "run dead or cancelled invocations again",
    "cancel": "never run invocations again",
    "capture": "write a run that happened as a test",
    "logs": "show what the processes wrote",
    "restart": "restart processes without losing a request",
    "test": "run all tests",
    "check": "format, lint, types, layers, dependencies",
    "bench": "run a bench",
    "serve": "run the gateway (a Procfile line)",
    "work": "run a worker (a Procfile line)",
    "clock": "start cron functions at their times (a Procfile line)",
    "edge": "run Caddy (a Procfile line)",
    "chroma": "run Chroma (where no other server keeps the vectors)",
    "deploy": "check that this version takes what waits and runs",
    "migrate": "bring the database to this version",
    "doctor": "find where the database differs from its schema, and repair it",
}
"""Command and summary; the module of the same name is imported only when it runs."""

FAULTS: tuple[tuple[type[Exception], int], ...] = (
    (WrongUsage, USAGE),
    (errors.ConfigurationError, CONFIGURATION),
    (errors.ServerAway, AWAY),
    (errors.UnknownFunction, USAGE),
    (errors.InvalidEvent, USAGE),
    (errors.EventTooLarge, USAGE),
    (errors.DeclarationError, USAGE),
    (errors.RuntimeFault, FAILED),
)


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run what was typed; returns the exit code."""
    typed = list(sys.argv[1:] if arguments is None else arguments)
    if not typed or typed[0] in ("-h", "--help", "help"):
        print(_overview())
        return DONE if typed else USAGE
    name = typed[0]
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"; did you mean `nexus {near[0]}`?" if near else "; see `nexus --help`"
        return _complain(f"{name!r} is not a command{hint}", USAGE)
    try:
        command: Command = importlib.import_module(f"gateway.cli.{name}").COMMAND
        # `nexus bench NAME --help` is a question to that bench.
        named = len(typed) > 1 and not typed[1].startswith("-")
        parser = _parser(command, helps=not (command.passes_on and named))
        parsed, unknown = parser.parse_known_args(typed[1:])
        if command.passes_on:
            parsed.options = unknown
        elif unknown:
            parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        return command.run(parsed, _environment(os.environ if environ is None else environ))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `nexus invocations | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else FAILED
    except errors.RuntimeFault as fault:
        return _complain(str(fault), next(code for kind, code in FAULTS if isinstance(fault, kind)))
    except StateFault as fault:
        return _complain(f"Postgres: {fault}", AWAY if isinstance(fault, DatabaseAway) else FAILED)


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment, and below it what `.env` of the checkout says."""
    home = Path(environ.get("NEXUS_HOME") or Path(__file__).parents[2])
    return {**read_env_file(home / ".env"), **environ}


def _parser(command: Command, *, helps: bool = True) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"nexus {command.name}",
        description=command.summary,
        epilog=f"example:\n  {command.example}" if command.example else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=helps,
    )
    command.add_arguments(parser)
    return parser


def _overview() -> str:
    width = max(map(len, COMMANDS)) + 2
    lines = [f"  {name:<{width}}{summary}" for name, summary in COMMANDS.items()]
    return "\n".join(
        [
            "usage: nexus COMMAND [options]",
            "",
            *lines,
            "",
            "`nexus COMMAND --help` shows what a command takes. Begin with `nexus up`.",
        ]
    )


def _complain(message: str, code: int) -> int:
    print(f"nexus: {message}", file=sys.stderr)
    return code
