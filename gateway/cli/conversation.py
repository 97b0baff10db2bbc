"""Show one conversation: who said what, what became of it, what the agent did and why."""

import argparse
import asyncio
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from gateway.cli.command import Command
from gateway.cli.connect import number_of, open_database, shop_of
from gateway.cli.output import print_json, safe
from state.conversations import PERSON, Conversation, conversation, give_to_agent, hand_to_person
from state.database import Connection
from state.ids import CONVERSATION, public_id
from state.messages import Message, history
from state.shops import shop_details
from state.turns import Turn, turns_of

MOST = 200
WHO = {"shopper": "shopper", "agent": "agent", "person": "person", "phone": "phone"}
STATES = {
    "pending": "waits",
    "sending": "on its way",
    "accepted": "✓",
    "sent": "✓",
    "delivered": "✓✓",
    "read": "✓✓ read",
}


class Thread(NamedTuple):
    """A conversation with everything in it."""

    conversation: Conversation
    messages: list[Message]
    turns: list[Turn]
    zone: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("id", metavar="ID")
    parser.add_argument("--shop", metavar="NAME", help="default: demo, here on this machine")
    held = parser.add_mutually_exclusive_group()
    held.add_argument("--take", metavar="WHY", help="have a person hold it: the agent is silent")
    held.add_argument("--give", action="store_true", help="have the agent answer again")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Show, after taking it over or giving it back."""
    found = asyncio.run(_thread(args, environ))
    if found is None:
        print(f"nexus: this shop has no conversation {args.id}", file=sys.stderr)
        return 1
    if args.json:
        print_json(describe(found))
    else:
        for line in told(found):
            print(safe(line))
    return 0


async def _thread(args: argparse.Namespace, environ: Mapping[str, str]) -> Thread | None:
    number = number_of(args.id, CONVERSATION)
    shop = await shop_of(environ, args.shop)
    async with open_database(environ) as database:
        details = {one.tenant: one for one in await shop_details(database)}
        async with database.tenant(shop.tenant) as connection:
            if args.take:
                await hand_to_person(connection, shop.tenant, number, args.take)
            elif args.give:
                await give_to_agent(connection, shop.tenant, number)
            return await _read(connection, shop.tenant, number, details[shop.tenant].zone)


async def _read(connection: Connection, tenant: int, number: int, zone: str) -> Thread | None:
    found = await conversation(connection, tenant, number)
    if found is None:
        return None
    messages = await history(connection, tenant, number, MOST)
    return Thread(found, messages, await turns_of(connection, tenant, number), zone)


def told(thread: Thread) -> Iterator[str]:
    """Give the lines of a thread."""
    held, zone = thread.conversation, ZoneInfo(thread.zone)
    name = public_id(held.conversation_id, CONVERSATION)
    holder = f"a person has it: {held.held_reason}" if held.holder == PERSON else "the agent has it"
    yield f"{name}  {held.address}  ({holder})"
    turns = {turn.turn_id: turn for turn in thread.turns}
    day = None
    for message in thread.messages:
        at = message.at.astimezone(zone)
        if at.date() != day:
            day = at.date()
            yield f"\n  {day.isoformat()}"
        yield _line(message, at)
        ours = message.direction == "out" and message.turn is not None
        turn = turns.pop(message.turn or 0, None) if ours else None
        if turn is not None:
            yield from _why(turn)
    for turn in turns.values():
        yield from _why(turn)
    if not thread.messages:
        yield "\n  Nobody has written yet."


def _line(message: Message, at: datetime) -> str:
    said = message.body or f"[{message.kind}]"
    if message.revoked_at is not None:
        said = "[taken back]"
    notes = [STATES.get(message.state or "", message.state or "")]
    notes += [f"({message.problem})"] if message.problem else []
    notes += ["(late)"] if message.late else []
    notes += ["(edited)"] if message.edited_at else []
    mark = " ".join(filter(None, notes))
    body = said.replace("\n", "\n" + " " * 19)
    return f"  {at:%H:%M:%S}  {WHO[message.author]:<8} {body}  {mark}".rstrip()


def _why(turn: Turn) -> Iterator[str]:
    seconds = (turn.ended_at - turn.started_at).total_seconds()
    tokens = turn.input_tokens + turn.output_tokens
    why = f": {turn.reason}" if turn.reason else ""
    rounds = "1 round" if turn.rounds == 1 else f"{turn.rounds} rounds"
    yield (
        f"            └ {turn.outcome}{why} ({turn.model or 'no model'}, {rounds},"
        f" {tokens} tokens, {seconds:.1f} s; {public_id(turn.turn_id)})"
    )
    for step in turn.trace:
        yield f"              {_step(step)}"


def _step(step: Mapping[str, Any]) -> str:
    kind, ms = step.get("kind"), step.get("ms", 0)
    if kind == "recall":
        names = [*step.get("products", ()), *step.get("passages", ())]
        worse = ", without vectors" if step.get("degraded") else ""
        return f"recalled {', '.join(names) or 'nothing'} ({ms} ms{worse})"
    if kind == "tool":
        return f"used {step.get('name')} {step.get('arguments')} ({ms} ms)"
    if kind == "model":
        calls = ", ".join(step.get("calls", ()))
        return (
            f"asked the model: {calls or step.get('finish')} ({step.get('tokens')} tokens, {ms} ms)"
        )
    rest = {key: value for key, value in step.items() if key not in ("kind", "ms")}
    return f"{kind}: {rest}"


def describe(thread: Thread) -> dict[str, Any]:
    """Return a thread as JSON shows it."""
    held = thread.conversation
    return {
        "id": public_id(held.conversation_id, CONVERSATION),
        "holder": held.holder,
        "held_reason": held.held_reason,
        "window_until": held.window_until,
        "messages": [
            {
                "direction": one.direction,
                "author": one.author,
                "kind": one.kind,
                "body": one.body,
                "at": one.at,
                "state": one.state,
                "problem": one.problem,
                "turn": public_id(one.turn) if one.turn else None,
            }
            for one in thread.messages
        ],
        "turns": [{**vars(one), "turn_id": public_id(one.turn_id)} for one in thread.turns],
    }


COMMAND = Command(
    "conversation",
    "Show one conversation, and what the agent did and why.",
    add_arguments,
    run,
    example="nexus conversation cnv_0123456789abc --take 'I answer this one'",
)
