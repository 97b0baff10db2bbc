"""List a shop's conversations."""

import argparse
import asyncio
from collections.abc import Mapping

from gateway.cli.command import Command
from gateway.cli.connect import open_database, shop_of
from gateway.cli.output import ago, print_json, print_table
from state.conversations import PERSON, Listed, conversations
from state.ids import CONVERSATION, public_id

LINE = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--shop", metavar="NAME", help="default: demo, here on this machine")
    parser.add_argument("--search", default="", metavar="TEXT", help="in names, numbers, messages")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="at most so many (20)")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """List."""
    found = asyncio.run(_list(args, environ))
    if args.json:
        print_json([describe(one) for one in found])
    elif not found:
        print("No conversations here. Begin one: nexus chat")
    else:
        rows = [
            (
                public_id(one.conversation_id, CONVERSATION),
                one.contact or one.address,
                "a person" if one.holder == PERSON else "the agent",
                f"{one.unanswered} ({ago(one.waiting_since)})" if one.unanswered else "",
                ago(one.last_at),
                (one.last_body or f"[{one.last_kind}]")[:LINE],
            )
            for one in found
        ]
        print_table(("ID", "WHO", "HELD BY", "WAITING", "LAST", "SAID"), rows)
    return 0


async def _list(args: argparse.Namespace, environ: Mapping[str, str]) -> list[Listed]:
    shop = await shop_of(environ, args.shop)
    async with open_database(environ) as database, database.tenant(shop.tenant) as connection:
        limit = max(1, min(args.limit, 1000))
        return await conversations(connection, shop.tenant, limit=limit, search=args.search)


def describe(one: Listed) -> dict[str, object]:
    """Return a conversation as JSON shows it."""
    name = public_id(one.conversation_id, CONVERSATION)
    return {"id": name, **{k: v for k, v in one._asdict().items() if k != "conversation_id"}}


COMMAND = Command(
    "conversations",
    "List a shop's conversations, the most recent first.",
    add_arguments,
    run,
    example="nexus conversations --search zapatillas",
)
