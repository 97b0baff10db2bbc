"""Channels: the WhatsApp numbers of a shop."""

import argparse
import asyncio
import re
import sys
from collections.abc import Mapping

from gateway.cli.command import Command, Refused, WrongUsage
from gateway.cli.connect import open_database, shop_of
from gateway.cli.environment import settings_here
from gateway.cli.output import print_json, print_table
from gateway.cli.secret import read_secret
from runtime.keys import ring_of
from runtime.settings import OPENAI
from state.agents import profiles
from state.apps import apps
from state.channels import (
    Channel,
    add_channel,
    channels,
    resume_channel,
    set_channel_agent,
    set_channel_quiet,
    stop_channel,
)
from state.credentials import put_credential
from state.database import Database

ACTIONS = ("list", "add", "stop", "resume", "agent-on", "agent-off", "quiet")
NUMBER_ID = re.compile(r"[0-9]{5,20}")
PURPOSE = "whatsapp"
NO_MODEL = (
    "Mind: no model's key is known here, so a person gets every conversation of this number; the\n"
    "demo model answers on simulated phones alone. Set OPENAI_API_KEY, or:\n"
    "nexus agents set --shop NAME --model-key-file FILE"
)
QUIET_SECONDS = (0.0, 20.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="list")
    parser.add_argument("id", nargs="?", type=int, help="which, for all but list and add")
    parser.add_argument("--shop", metavar="NAME", help="default: demo, here on this machine")
    parser.add_argument("--app", metavar="NAME", help="the registration its webhooks come from")
    parser.add_argument("--phone-number-id", metavar="ID", help="of the number, at Meta")
    parser.add_argument("--number", metavar="TEXT", help="as people write it: '+54 341 555-0100'")
    parser.add_argument("--token-file", metavar="FILE", help="access token; else it is asked for")
    parser.add_argument("--seconds", type=float, metavar="S", help="for quiet: 0 to 20")
    parser.add_argument("--reason", default="stopped by hand", help="for stop")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """List, add or change."""
    if args.action == "add":
        _check(args)
    elif args.action != "list" and args.id is None:
        raise WrongUsage(f"which channel? nexus channels {args.action} ID")
    least, most = QUIET_SECONDS
    if args.action == "quiet" and not (args.seconds is not None and least <= args.seconds <= most):
        raise WrongUsage(f"--seconds is missing, or not {least:g} to {most:g}")
    found = asyncio.run(_run(args, environ))
    if args.action == "add" and not asyncio.run(_has_model(args, environ)):
        print(NO_MODEL, file=sys.stderr)
    if args.json:
        print_json([one._asdict() for one in found])
    elif not found:
        print("No channels yet. Add a number: nexus channels add --help")
    else:
        rows = [
            (
                one.channel_id,
                one.kind,
                one.display,
                one.app,
                "answers" if one.agent else "is off",
                f"stopped: {one.stopped}" if one.stopped else "sends",
            )
            for one in found
        ]
        print_table(("ID", "KIND", "NUMBER", "APP", "AGENT", "STATE"), rows)
    return 0


def _check(args: argparse.Namespace) -> None:
    for name in ("app", "phone_number_id", "number"):
        if not getattr(args, name):
            raise WrongUsage(f"--{name.replace('_', '-')} is missing; see --help")
    if not NUMBER_ID.fullmatch(args.phone_number_id):
        raise WrongUsage("--phone-number-id is digits alone; it is not the phone number")


async def _run(args: argparse.Namespace, environ: Mapping[str, str]) -> list[Channel]:
    shop = await shop_of(environ, args.shop)
    async with open_database(environ) as database:
        if args.action == "add":
            await _add(args, environ, database, shop.tenant)
        async with database.tenant(shop.tenant) as connection:
            if args.id is not None and args.id not in {
                one.channel_id for one in await channels(connection, shop.tenant)
            }:
                raise Refused(f"{shop.name} has no channel {args.id}; see `nexus channels`")
            if args.action == "stop":
                await stop_channel(connection, shop.tenant, args.id, args.reason)
            elif args.action == "resume":
                await resume_channel(connection, shop.tenant, args.id)
            elif args.action == "quiet":
                await set_channel_quiet(connection, shop.tenant, args.id, args.seconds)
            elif args.action.startswith("agent-"):
                on = args.action == "agent-on"
                await set_channel_agent(connection, shop.tenant, args.id, on)
            return await channels(connection, shop.tenant)


async def _has_model(args: argparse.Namespace, environ: Mapping[str, str]) -> bool:
    """Say whether a model would answer, as far as the settings here tell."""
    settings = settings_here(environ)
    shop = await shop_of(environ, args.shop)
    async with open_database(environ) as database, database.engine() as connection:
        (agent,) = await profiles(connection, shop.tenant)
    servers = (agent.base_url, settings.openai_api_key, agent.key_since)
    return any(servers) or settings.openai_base_url != OPENAI


async def _add(
    args: argparse.Namespace, environ: Mapping[str, str], database: Database, tenant: int
) -> None:
    ring = ring_of(settings_here(environ))
    token = read_secret("access token", args.token_file)
    async with database.engine() as connection:
        if args.app not in {one.name for one in await apps(connection)}:
            raise WrongUsage(f"no app is named {args.app!r}: nexus apps add {args.app}")
    async with database.tenant(tenant) as connection:
        try:
            await add_channel(
                connection,
                tenant,
                kind="cloud_api",
                app=args.app,
                address=args.phone_number_id,
                display=args.number,
            )
        except LookupError as error:
            raise Refused(str(error)) from None
        await put_credential(
            connection,
            ring,
            tenant=tenant,
            purpose=PURPOSE,
            name=args.phone_number_id,
            secret=token,
        )


COMMAND = Command(
    "channels",
    "List a shop's WhatsApp numbers; add, stop or resume one.",
    add_arguments,
    run,
    example="nexus channels add --shop pampa --app meta --phone-number-id 10650 --number '+54 …'",
)
