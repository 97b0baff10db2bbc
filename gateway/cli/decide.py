"""What `replay` and `cancel` share."""

import argparse
import asyncio
import getpass
import sys
from collections.abc import Mapping
from typing import Literal

from gateway.cli.connect import number_of, open_database
from gateway.cli.output import print_json
from state.ids import public_id
from state.invocations import Invocations

ANSWERS = {
    "replayed": "runs again",
    "not_finished": "has not finished; nothing to replay",
    "done": "is done; only dead and cancelled ones are replayed",
    "cancelled": "will not run",
    "cancelling": "is running; it is being ended",
    "finished": "has finished already",
    "unknown": "there is no such invocation",
}
GOOD = ("replayed", "cancelled", "cancelling")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("ids", nargs="+", metavar="ID")
    parser.add_argument("--json", action="store_true")


def decide(
    verb: Literal["replay", "cancel"], args: argparse.Namespace, environ: Mapping[str, str]
) -> int:
    """Decide about each id; the exit code is 1 when one of them could not be."""
    answers = asyncio.run(_decide(verb, [number_of(one) for one in args.ids], environ))
    if args.json:
        print_json([{"id": public_id(one), "answer": answer} for one, answer in answers])
    else:
        for one, answer in answers:
            good = answer in GOOD
            print(f"{public_id(one)}  {ANSWERS[answer]}", file=sys.stdout if good else sys.stderr)
    return 0 if all(answer in GOOD for _, answer in answers) else 1


async def _decide(
    verb: Literal["replay", "cancel"], ids: list[int], environ: Mapping[str, str]
) -> list[tuple[int, str]]:
    actor = f"cli:{getpass.getuser()}"
    async with open_database(environ) as database:
        invocations = Invocations(database)
        call = invocations.replay if verb == "replay" else invocations.cancel
        return [(one, await call(one, actor=actor)) for one in ids]
