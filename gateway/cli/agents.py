"""Agents: how each shop's agent works, and by which model."""

import argparse
import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from gateway.cli.command import Command, WrongUsage
from gateway.cli.connect import open_database, shop_of
from gateway.cli.environment import settings_here
from gateway.cli.output import local_time, print_json, print_table, safe
from gateway.cli.secret import read_secret
from runtime.keys import ring_of
from state.agents import Profile, forget_model_key, profiles, put_model_key, set_agent

KEY = "model-key"
TEXTS = ("name", "model", "base-url", "instructions")
NUMBERS = {
    "rounds": (1, 20, "model calls of one turn"),
    "seconds": (5, 280, "that one turn may take"),
    "tokens": (5000, 10_000_000, "of one turn, in and out"),
    "tokens-per-conversation": (0, 10**12, "of one conversation in a day"),
    "tokens-per-day": (0, 10**12, "of all turns of a day"),
}
LETTERS = 200
INSTRUCTIONS_LETTERS = 20_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("action", nargs="?", choices=("list", "show", "set"), default="list")
    parser.add_argument("--shop", metavar="NAME", help="default: demo, here on this machine")
    parser.add_argument("--name", metavar="TEXT", help="as the agent calls itself")
    parser.add_argument("--model", metavar="NAME", help="in place of OPENAI_MODEL")
    parser.add_argument("--base-url", metavar="URL", help="the shop's own model server")
    parser.add_argument(
        "--model-key-file", metavar="FILE", help="the shop's own key; -: ask, or standard input"
    )
    parser.add_argument(
        "--instructions-file", metavar="FILE", help="the shop's own words; -: standard input"
    )
    for name, (least, most, what) in NUMBERS.items():
        parser.add_argument(f"--{name}", type=int, metavar="N", help=f"{what}, {least} to {most:,}")
    parser.add_argument(
        "--unset",
        action="append",
        default=[],
        choices=(*TEXTS, *NUMBERS, KEY),
        metavar="WHAT",
        help=f"go back to the default: {', '.join((*TEXTS, *NUMBERS, KEY))}",
    )
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """List, show or set."""
    if args.action == "list":
        found = asyncio.run(_list(environ))
        if args.json:
            print_json([one._asdict() for one in found])
        elif not found:
            print("No shops yet. Add one: nexus shops add NAME")
        else:
            rows = [
                (one.shop, one.name, one.model, one.seconds, "its own" if one.key_since else "")
                for one in found
            ]
            print_table(("SHOP", "NAME", "MODEL", "SECONDS", "KEY"), rows)
        return 0
    values, key = (_values(args), _key(args)) if args.action == "set" else ({}, None)
    if args.action == "set" and not values and key is None and KEY not in args.unset:
        raise WrongUsage("nothing to set; see `nexus agents --help`")
    one = asyncio.run(_one(args, environ, values, key))
    if args.json:
        print_json(one._asdict())
    else:
        _show(one)
    return 0


def _show(one: Profile) -> None:
    ours = "none: the shop's own server never gets ours" if one.base_url else "OPENAI_API_KEY"
    lines = {
        "shop": one.shop,
        "name": one.name or "(none)",
        "model": one.model or "(OPENAI_MODEL)",
        "server": one.base_url or "(OPENAI_BASE_URL)",
        "key": f"its own, since {local_time(one.key_since)}" if one.key_since else f"({ours})",
        "rounds": f"{one.rounds} of one turn",
        "seconds": f"{one.seconds} for one turn",
        "tokens": f"{one.tokens:,} of one turn, {one.tokens_per_day:,} of a day,"
        f" {_limit(one.tokens_per_conversation)} of one conversation in a day",
    }
    for name, text in lines.items():
        print(safe(f"{name:<9}{text}"))
    print(safe(f"\n{one.instructions}" if one.instructions else "\nNo instructions of its own."))


def _limit(tokens: int | None) -> str:
    return "any number" if tokens is None else f"{tokens:,}"


def _values(args: argparse.Namespace) -> dict[str, str | int | None]:
    """Return what is to be changed, checked."""
    given: dict[str, str | int | None] = {
        what.replace("-", "_"): None for what in args.unset if what != KEY
    }
    for name in ("name", "model"):
        if (text := getattr(args, name)) is not None:
            given[name] = _text(f"--{name}", text, LETTERS)
    if args.base_url is not None:
        given["base_url"] = _address(args.base_url)
    if args.instructions_file is not None:
        text = _file(args.instructions_file)
        given["instructions"] = _text("--instructions-file", text, INSTRUCTIONS_LETTERS)
    for name, (least, most, _) in NUMBERS.items():
        field = name.replace("-", "_")
        number = getattr(args, field)
        if number is None:
            continue
        if not least <= number <= most:
            raise WrongUsage(f"--{name} is {least} to {most:,}, not {number:,}")
        given[field] = number
    return given


def _text(option: str, text: str, limit: int) -> str:
    text = text.strip()
    if not text:
        what = option.removeprefix("--").removesuffix("-file")
        raise WrongUsage(f"{option} is empty; to go back: --unset {what}")
    if len(text) > limit or "\0" in text:
        raise WrongUsage(f"{option} is text of at most {limit:,} characters")
    return text


def _address(text: str) -> str:
    """Return the address of a model server, checked."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not text.isprintable() or parts.username or parts.query or parts.fragment:
        raise WrongUsage(
            "--base-url is an address such as https://models.example/v1, without a password"
        )
    return text.rstrip("/")


def _file(name: str) -> str:
    if name == "-":
        return sys.stdin.read()
    try:
        return Path(name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise WrongUsage(f"{name} is no text in UTF-8") from None
    except OSError as error:
        raise WrongUsage(f"{name}: {error.strerror}") from None


def _key(args: argparse.Namespace) -> str | None:
    if args.model_key_file is None:
        return None
    if KEY in args.unset:
        raise WrongUsage(f"--model-key-file and --unset {KEY}: which of them?")
    file = None if args.model_key_file == "-" else args.model_key_file
    key = read_secret("key of the model", file)
    if not key.isascii() or not key.isprintable() or " " in key:
        raise WrongUsage("the key of the model is one word of plain letters")
    return key


async def _list(environ: Mapping[str, str]) -> list[Profile]:
    async with open_database(environ) as database, database.engine() as connection:
        return await profiles(connection)


async def _one(
    args: argparse.Namespace,
    environ: Mapping[str, str],
    values: Mapping[str, str | int | None],
    key: str | None,
) -> Profile:
    shop = await shop_of(environ, args.shop)
    ring = ring_of(settings_here(environ)) if key is not None else None
    async with (
        open_database(environ) as database,
        database.engine() as connection,
        connection.transaction(),
    ):
        if values:
            await set_agent(connection, shop.tenant, values, actor="cli")
        if key is not None and ring is not None:
            await put_model_key(connection, ring, shop.tenant, key, actor="cli")
        if KEY in args.unset:
            await forget_model_key(connection, shop.tenant, actor="cli")
        (found,) = await profiles(connection, shop.tenant)
        return found


COMMAND = Command(
    "agents",
    "List how shops' agents work; show or set one: model, key, instructions, limits.",
    add_arguments,
    run,
    example="nexus agents set --shop pampa --model gpt-5.4 --model-key-file key.txt",
)
