"""App registrations: the apps at providers whose webhooks come here."""

import argparse
import asyncio
import re
import secrets
from collections.abc import Mapping

from gateway.cli.command import Command, Refused, WrongUsage
from gateway.cli.connect import open_database
from gateway.cli.environment import settings_here
from gateway.cli.output import print_json, print_table
from gateway.cli.secret import read_secret
from runtime.keys import ring_of
from runtime.registry import load_registry
from runtime.settings import Settings
from runtime.trigger import Webhook
from state.apps import SECRET, VERIFY, App, add_app, apps, remove_app
from state.credentials import put_credential
from state.shops import INSTALLATION

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
TAKEN = "sandbox"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("action", nargs="?", choices=("list", "add", "remove"), default="list")
    parser.add_argument("name", nargs="?", help="the word in its webhook's address")
    parser.add_argument("--provider", default="whatsapp", help="path of a function's Webhook")
    parser.add_argument(
        "--secret-file", metavar="FILE", help="its app secret; else it is asked for"
    )
    parser.add_argument("--verify-token-file", metavar="FILE", help="else one is made and shown")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """List, add or remove."""
    settings = settings_here(environ)
    if args.action == "list":
        return _show(asyncio.run(_list(environ)), settings, args.json)
    if not args.name or not NAME.fullmatch(args.name) or args.name == TAKEN:
        raise WrongUsage(
            "an app's name has small letters, digits and hyphens, e.g. meta; `sandbox` is taken"
        )
    if args.action == "remove":
        gone = asyncio.run(_remove(args.name, environ))
        if args.json:
            print_json({"name": args.name, "removed": gone})
        else:
            print(f"{args.name} is {'removed' if gone else 'not registered'}")
        return 0 if gone else 1
    if args.provider not in (known := providers(settings)):
        raise WrongUsage(
            f"no function has a Webhook({args.provider!r}); there are: {', '.join(known) or 'none'}"
        )
    secret = read_secret("app secret", args.secret_file)
    token = (
        read_secret("verify token", args.verify_token_file)
        if args.verify_token_file
        else secrets.token_urlsafe(24)
    )
    app = asyncio.run(_add(args, environ, settings, secret, token))
    address = address_of(settings, app)
    if args.json:
        shown = {"name": app.name, "provider": app.provider, "address": address}
        print_json({**shown, "verify_token": token})
        return 0
    print(f"{app.name} is registered. At the provider (Meta: WhatsApp, Configuration) enter:\n")
    print(f"  callback URL   {address}")
    print(f"  verify token   {token}\n")
    print("At Meta, subscribe to `messages`. The verify token is not shown again.")
    return 0


def providers(settings: Settings) -> list[str]:
    """Return the paths that functions declare with Webhook."""
    return sorted(
        trigger.path
        for function in load_registry(settings.functions)
        for trigger in function.policy.trigger
        if isinstance(trigger, Webhook)
    )


def address_of(settings: Settings, app: App) -> str:
    """Return where the provider has to post."""
    base = settings.api_base_url or f"http://localhost:{settings.port}"
    return f"{base.rstrip('/')}/webhooks/{app.provider}/{app.name}"


def _show(found: list[App], settings: Settings, as_json: bool) -> int:
    listed = [(app.name, app.provider, address_of(settings, app)) for app in found]
    if as_json:
        print_json([{"name": a, "provider": b, "address": c} for a, b, c in listed])
    elif not listed:
        print("No apps yet. Register one: nexus apps add meta --secret-file FILE")
    else:
        print_table(("NAME", "PROVIDER", "ADDRESS"), listed)
    return 0


async def _list(environ: Mapping[str, str]) -> list[App]:
    async with open_database(environ) as database, database.engine() as connection:
        return await apps(connection)


async def _add(
    args: argparse.Namespace,
    environ: Mapping[str, str],
    settings: Settings,
    secret: str,
    token: str,
) -> App:
    ring = ring_of(settings)
    async with (
        open_database(environ) as database,
        database.engine() as connection,
        connection.transaction(),
    ):
        for purpose, value in ((SECRET, secret), (VERIFY, token)):
            await put_credential(
                connection,
                ring,
                tenant=INSTALLATION,
                purpose=purpose,
                name=args.name,
                secret=value,
            )
        try:
            return await add_app(connection, args.name, provider=args.provider)
        except LookupError as error:
            raise Refused(str(error)) from None


async def _remove(name: str, environ: Mapping[str, str]) -> bool:
    async with (
        open_database(environ) as database,
        database.engine() as connection,
        connection.transaction(),
    ):
        return await remove_app(connection, name)


COMMAND = Command(
    "apps",
    "List app registrations, add or remove one.",
    add_arguments,
    run,
    example="nexus apps add meta --secret-file app-secret.txt",
)
