"""List the functions."""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from gateway.cli.command import Command
from gateway.cli.environment import settings_here
from gateway.cli.output import print_json, print_table
from runtime.function import Function
from runtime.registry import load_registry
from runtime.trigger import Cron


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--json", action="store_true", help="with the JSON Schema of each event")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """List."""
    registry = load_registry(settings_here(environ).functions)
    if args.json:
        print_json(
            {
                "functions": [_describe(each) for each in registry],
                "broken": [vars(each) for each in registry.broken],
            }
        )
    elif registry.functions:
        rows = [
            (each.name, _fields(each), _runs_in(each), _triggers(each), each.summary)
            for each in registry
        ]
        print_table(("FUNCTION", "EVENT", "RUNS IN", "STARTED BY", "WHAT IT DOES"), rows)
    else:
        print(
            "There are no functions yet. Add a file to functions/, for instance functions/hello.py."
        )
    for broken in registry.broken:
        print(f"nexus: does not import: {broken}", file=sys.stderr)
    return 1 if registry.broken else 0


def _describe(function: Function[Any]) -> dict[str, Any]:
    policy = function.policy
    return {
        "name": function.name,
        "summary": function.summary,
        "file": function.file,
        "line": function.line,
        "event": function.event_type.model_json_schema(),
        "timeout_seconds": policy.timeout,
        "attempts": policy.retry.attempts,
        "lane": policy.lane,
        "service": policy.service,
        "concurrency": policy.in_process,
        "permits": None if policy.permits is None else asdict(policy.permits),
        "rate": None if policy.rate is None else asdict(policy.rate),
        "isolation": "task" if policy.process is None else "process",
        "process": None if policy.process is None else asdict(policy.process),
        "triggers": [repr(trigger) for trigger in policy.trigger],
    }


def _fields(function: Function[Any]) -> str:
    fields = function.event_type.model_fields.items()
    return " ".join(name if field.is_required() else f"[{name}]" for name, field in fields)


def _runs_in(function: Function[Any]) -> str:
    process = function.policy.process
    return "task" if process is None else f"process ({process.memory_mb} MB)"


def _triggers(function: Function[Any]) -> str:
    return ", ".join(
        f"cron {each.expression} {each.zone}" + ", missed times left out" * (each.missed == "skip")
        if isinstance(each, Cron)
        else f"POST /webhooks/{each.path}"
        for each in function.policy.trigger
    )


COMMAND = Command("functions", "List the functions and their events.", add_arguments, run)
