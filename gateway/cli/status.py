"""`nexus status`: what runs here, how it does, and how much memory it takes."""

import argparse
import json
import time
from collections.abc import Mapping
from typing import Any

from gateway.cli.command import Command
from runtime.host.processes import family, pss_bytes
from runtime.host.stack import Stack, read_processes, read_stack
from runtime.settings import load_settings

NOTHING_RUNS = 69
MEBIBYTE = 1024 * 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print the state of the stack; 0 when everything is ready, 1 when not, 69 when none runs."""
    settings = load_settings(environ)
    stack = read_stack(settings.state_dir)
    found = gathered(stack, read_processes(settings.state_dir)) if stack else {}
    document = {"ready": False, "address": None, "processes": [], "pss_bytes": 0, **found}
    if args.json:
        print(json.dumps(document))
    else:
        print(table(document) if stack else "nothing runs here; start it with ./nexus up")
    if stack is None:
        return NOTHING_RUNS
    return 0 if document["ready"] else 1


def gathered(stack: Stack, said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the supervisor said, with the memory of each process and its children."""
    processes = [dict(process) for process in said.get("processes", [])]
    for process in processes:
        process["pss_bytes"] = pss_bytes(family(process["pid"])) if process["pid"] else 0
    supervisor = {
        "name": "supervisor",
        "pid": stack.pid,
        "state": "ready",
        "restarts": 0,
        "started_at": stack.started_at,
        "pss_bytes": pss_bytes([stack.pid]),
    }
    everything = [supervisor, *processes]
    return {
        "ready": bool(said.get("ready")),
        "address": stack.address,
        "private_address": stack.private_address,
        "processes": everything,
        "pss_bytes": sum(process["pss_bytes"] for process in everything),
    }


def table(document: Mapping[str, Any]) -> str:
    """Return the document as a person reads it."""
    word = "ready" if document["ready"] else "not ready"
    lines = [f"{word}, at {document['address']}", ""]
    lines.append(f"{'':<12}{'state':<10}{'pid':>8}{'up':>8}{'restarts':>10}{'memory':>10}")
    for process in document["processes"]:
        up = age(process["started_at"]) if process["pid"] else "-"
        lines.append(
            f"{process['name']:<12}{process['state']:<10}{process['pid'] or '-':>8}{up:>8}"
            f"{process['restarts']:>10}{process['pss_bytes'] / MEBIBYTE:>7.0f} MB"
        )
    lines.append(f"{'':<48}{document['pss_bytes'] / MEBIBYTE:>7.0f} MB")
    return "\n".join(lines)


def age(started_at: float | None) -> str:
    """Return how long ago that was, shortly: `12s`, `3m`, `5h`, `2d`."""
    seconds = max(0, time.time() - (started_at or time.time()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


COMMAND = Command("status", "show what runs here", add_arguments, run)
