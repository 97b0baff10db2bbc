"""Talk to a shop's agent through its simulated phone: the way that WhatsApp's messages take."""

import argparse
import asyncio
import getpass
import sys
from collections.abc import Mapping

from gateway.cli.command import Command
from gateway.cli.connect import open_database, open_dispatcher, shop_of
from gateway.cli.output import safe
from gateway.sandbox import Shopper, new_shopper, write
from runtime.dispatch import Dispatcher
from state.channels import open_phone
from state.database import Database
from state.ids import CONVERSATION, public_id
from state.messages import Answered, answer_to
from state.shops import Shop

ANSWER_SECONDS = 120.0
LOOK_SECONDS = 0.05
ON_ITS_WAY = ("pending", "sending")
QUIT = ("/quit", "/exit", "/q")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--shop", metavar="NAME", help="default: demo, here on this machine")
    parser.add_argument("--as", dest="name", metavar="NAME", help="who writes (you)")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Chat until /quit, Ctrl-D, or the end of what is piped in."""
    return asyncio.run(_chat(args, environ))


async def _chat(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    shop = await shop_of(environ, args.shop)
    shopper = new_shopper(args.name or getpass.getuser())
    async with open_database(environ) as database, open_dispatcher(environ) as dispatcher:
        async with database.tenant(shop.tenant) as connection:
            await open_phone(connection, shop)
        if sys.stdin.isatty():
            print(f"You are {shopper.name}, writing to {shop.name}. This is a simulation: no")
            print("WhatsApp, and no message leaves this machine. /quit ends it.\n")
        talk = Talk(database, dispatcher, shop, shopper)
        while (line := await asyncio.to_thread(_line)) is not None:
            if line.strip() in QUIT:
                break
            if line.strip() and not await talk.say(line.strip()):
                return 1
        talk.bye()
    return 0


class Talk:
    """One conversation in a terminal."""

    def __init__(
        self, database: Database, dispatcher: Dispatcher, shop: Shop, shopper: Shopper
    ) -> None:
        self._database, self._dispatcher = database, dispatcher
        self._shop, self._shopper = shop, shopper
        self._conversation: int | None = None

    async def say(self, text: str) -> bool:
        """Write a line and print what is answered; False: nobody answered in time."""
        wamid = await write(self._dispatcher, self._shop, self._shopper, text)
        if sys.stdout.isatty():
            print("  …", end="\r", flush=True)
        found = await self._answer(wamid)
        if found is None:
            print(
                f"nexus: no answer within {ANSWER_SECONDS:.0f} s; see `nexus status` and"
                " `nexus invocations`",
                file=sys.stderr,
            )
            return False
        self._conversation = found.conversation_id
        if found.reply is not None:
            print(safe(f"{self._shop.name}> {found.reply}"))
        if found.state in ("failed", "withheld", "unknown"):
            print(safe(f"  [not sent: {found.problem}]"))
        if found.outcome == "silent":
            print(safe(f"  [no answer: {found.reason}]"))
        if found.outcome == "handed_over":
            print(safe(f"  [a person goes on from here: {found.reason}]"))
        return True

    def bye(self) -> None:
        """Say where to read more."""
        if self._conversation is not None and sys.stdin.isatty():
            name = public_id(self._conversation, CONVERSATION)
            print(f"\nWhat the agent did and why: nexus conversation {name}")

    async def _answer(self, wamid: str) -> Answered | None:
        loop = asyncio.get_running_loop()
        until = loop.time() + ANSWER_SECONDS
        while loop.time() < until:
            async with self._database.tenant(self._shop.tenant) as connection:
                found = await answer_to(connection, self._shop.tenant, wamid)
            if found is not None and _decided(found):
                return found
            await asyncio.sleep(LOOK_SECONDS)
        return None


def _decided(found: Answered) -> bool:
    return found.outcome is not None and (found.reply is None or found.state not in ON_ITS_WAY)


def _line() -> str | None:
    try:
        return input("you> " if sys.stdin.isatty() else "")
    except EOFError:
        return None


COMMAND = Command(
    "chat",
    "Talk to a shop's agent, here in the terminal.",
    add_arguments,
    run,
    example="echo '¿tenés zapatillas 38?' | nexus chat",
)
