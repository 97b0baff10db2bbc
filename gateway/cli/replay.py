"""Run invocations again: as they are, or one of them from a step, with other answers or event."""

import argparse
import asyncio
import getpass
import json
from collections.abc import Mapping

from gateway.cli.command import Command
from gateway.cli.connect import number_of, open_dispatcher
from gateway.cli.decide import add_arguments as add_ids
from gateway.cli.decide import decide
from gateway.cli.invoke import parse_json, read_given
from gateway.cli.output import print_json
from runtime.errors import InvalidEvent
from runtime.replays import Replay, Replayed
from state.ids import public_id


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    add_ids(parser)
    parser.add_argument(
        "--from-step", metavar="NAME", help="run this step and what was recorded after it again"
    )
    parser.add_argument(
        "--edit",
        action="append",
        default=[],
        metavar="NAME=JSON|@FILE",
        help="another answer of a step, which is then not run; may be repeated",
    )
    parser.add_argument(
        "--event",
        metavar="JSON|@FILE|-",
        help="another event: a new invocation, linked to the old one in the audit log",
    )
    parser.add_argument(
        "--again-writes", action="store_true", help="also steps that change something outside"
    )


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Decide."""
    how = Replay(
        from_step=args.from_step,
        edits=dict(map(_edit, args.edit)),
        event=None if args.event is None else _json("--event", args.event),
        again_writes=args.again_writes,
    )
    if how in (Replay(), Replay(again_writes=True)):
        return decide("replay", args, environ)
    if len(args.ids) > 1:
        raise InvalidEvent("--from-step, --edit and --event are for one invocation at a time")
    number = number_of(args.ids[0])
    done = asyncio.run(_replay(number, how, environ))
    if args.json:
        print_json({"id": public_id(done.id), "of": public_id(number), "steps_kept": done.kept})
    else:
        again = "runs again" if done.id == number else f"is a new run of {public_id(number)}"
        steps = "step keeps its answer" if done.kept == 1 else "steps keep their answers"
        print(f"{public_id(done.id)}  {again}; {done.kept} {steps}")
    return 0


async def _replay(number: int, how: Replay, environ: Mapping[str, str]) -> Replayed:
    async with open_dispatcher(environ) as dispatcher:
        return await dispatcher.replay(number, how, actor=f"cli:{getpass.getuser()}")


def _edit(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not (name and equals):
        raise InvalidEvent(f"--edit {given!r}: write NAME=JSON or NAME=@FILE")
    return name, json.dumps(_json(f"--edit {name}", value), ensure_ascii=False)


def _json(name: str, given: str) -> object:
    return parse_json(name, read_given(name, given))


COMMAND = Command(
    "replay",
    "Run dead or cancelled invocations again, under the same id: done steps are not repeated.",
    add_arguments,
    run,
    example="nexus replay inv_…\n  nexus replay inv_… --from-step pay --edit look=@better.json",
)
