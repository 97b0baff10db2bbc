"""Run a function and print its result."""

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_origin

from gateway.cli.command import Command
from gateway.cli.connect import open_dispatcher, tenant_of
from gateway.cli.environment import settings_here
from gateway.cli.output import print_json, safe
from gateway.cli.streaming import Printer, follow
from runtime.errors import InvalidEvent
from runtime.event import Event, validate
from runtime.registry import load_registry
from state.ids import public_id


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("name", help="the function")
    parser.add_argument(
        "fields", nargs="*", metavar="key=value", help="fields of the event; key:=JSON for others"
    )
    parser.add_argument("--data", metavar="JSON|@FILE|-", help="the whole event as JSON")
    parser.add_argument("--shop", metavar="NAME", help="whose; default: the installation's")
    parser.add_argument("--key", help="the same key and event again is the same invocation")
    parser.add_argument("--delay", type=float, default=0, metavar="SECONDS", help="start later")
    parser.add_argument(
        "--at", metavar="TIME", help="start then: 2026-12-24T09:00-03:00, or ending in Z"
    )
    parser.add_argument("--no-wait", action="store_true", help="print the id and do not wait")
    parser.add_argument(
        "--stream", action="store_true", help="print what it emits as it comes; Ctrl-C stops that"
    )
    parser.add_argument(
        "--timeout", type=float, default=60, metavar="SECONDS", help="how long to wait (60)"
    )
    parser.add_argument("--json", action="store_true", help="print id, state, result, error")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Invoke."""
    return asyncio.run(_invoke(args, environ))


async def _invoke(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    function = load_registry(settings_here(environ).functions).named(args.name)
    data = event_data(function.event_type, args.fields, args.data)
    at = _time(args.at)
    validate(function.event_type, data)  # a typo is told before anything is connected
    if args.stream and (args.no_wait or args.delay):
        raise InvalidEvent("--stream follows at once: leave --no-wait and --delay out")
    tenant = await tenant_of(environ, args.shop)
    async with open_dispatcher(environ) as dispatcher:
        receipt = await dispatcher.dispatch_named(
            args.name,
            data,
            tenant=tenant,
            key=f"cli:{args.key}" if args.key else None,
            delay_seconds=args.delay,
            at=at,
            wait=not (args.no_wait or args.stream),
            follow=args.stream,
        )
        name = public_id(receipt.id)
        if args.stream:
            return await follow(dispatcher.streams, receipt.id, Printer(name, args.json))
        if args.no_wait:
            print_json({"id": name, "repeated": receipt.repeated}) if args.json else print(name)
            return 0
        wait_seconds = args.timeout + args.delay + _seconds_until(at)
        outcome = await dispatcher.outcome(receipt.id, wait_seconds)
    if outcome is None:
        print(
            f"nexus: {name} has not finished within {args.timeout:g} s and goes on;"
            f" see `nexus invocation {name}`",
            file=sys.stderr,
        )
        return 1
    result = json.loads(outcome.result) if outcome.result is not None else None
    if args.json:
        print_json({"id": name, "state": outcome.state, "result": result, "error": outcome.error})
    elif outcome.state != "done":
        print(safe(f"nexus: {name} is {outcome.state}: {outcome.error}"), file=sys.stderr)
    elif result is not None:
        print(safe(result) if isinstance(result, str) else json.dumps(result, ensure_ascii=False))
    return 0 if outcome.state == "done" else 1


def event_data(event_type: type[Event], fields: list[str], whole: str | None) -> dict[str, Any]:
    """Return the event's data from what was typed.

    `name=Ana` is text where the field is text, else JSON if it is JSON; `key:=…` is always JSON.

    Raises:
        InvalidEvent: something typed is neither.
    """
    data: dict[str, Any] = {}
    if whole is not None:
        data = parse_json("--data", read_given("--data", whole))
        if not isinstance(data, dict):
            raise InvalidEvent("--data: a JSON object is needed")
    for field in fields:
        name, equals, value = field.partition("=")
        if not equals or not name:
            raise InvalidEvent(f"{field!r}: write key=value, for instance name=Ana")
        if name.endswith(":"):
            data[name[:-1]] = parse_json(name[:-1], value)
            continue
        data[name] = value if _is_text(event_type, name) else _guess(value)
    return data


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.utcoffset() is None:
        raise InvalidEvent(
            f"--at {text}: write a time and its zone, for instance 2026-12-24T09:00-03:00"
        )
    return at


def _seconds_until(at: datetime | None) -> float:
    return 0.0 if at is None else max(0.0, (at - datetime.now(UTC)).total_seconds())


def _is_text(event_type: type[Event], name: str) -> bool:
    field = event_type.model_fields.get(name)
    return field is None or field.annotation is str or get_origin(field.annotation) is str


def _guess(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def parse_json(name: str, value: str) -> Any:
    """Return the data of a JSON text.

    Raises:
        InvalidEvent: it is none; `name` says where it was given.
    """
    try:
        return json.loads(value)
    except ValueError as error:
        raise InvalidEvent(f"{name}: not JSON: {error}") from None


def read_given(name: str, given: str) -> str:
    """Return what `@FILE`, `-` (standard input) or the text itself gives."""
    if given == "-":
        return sys.stdin.read()
    if given.startswith("@"):
        try:
            return Path(given[1:]).read_text(encoding="utf-8")
        except OSError as error:
            raise InvalidEvent(f"{name}: {error.strerror}: {given[1:]}") from None
    return given


COMMAND = Command(
    "invoke",
    "Run a function durably and print its result.",
    add_arguments,
    run,
    example="nexus invoke hello name=Ana",
)
