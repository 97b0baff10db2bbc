"""Compose, as EasyPanel runs it: variables of env.example, names of services, volumes, limits."""

import re
import signal
from pathlib import Path
from typing import Any

import yaml

from runtime.host.layout import HOME
from tests.play.deployment import SECRETS, Deployment, Service
from tests.play.dockerfile import image

STOP_SECONDS = 10
"""Of Compose, where the file says nothing."""
TAKEN = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
SERVERS = {"postgres": "postgres:", "redis": "valkey/valkey:"}
"""Services whose images are others' programs: their real servers stand in for them."""


def entered(path: Path) -> dict[str, str]:
    """Return the variables of an example file, with what has to be replaced replaced."""
    lines = [line for line in path.read_text().splitlines() if "=" in line and line[0] != "#"]
    pairs = dict(line.split("=", 1) for line in lines)
    return {key: SECRETS.get(key, value) for key, value in pairs.items()}


def read(path: Path, form: str) -> Deployment:
    """Say what Compose would run."""
    environ = entered(path.with_name("env.example"))
    file = _filled(yaml.safe_load(path.read_text()), environ)
    built = image(HOME / "Dockerfile")
    services = []
    for name in _order(file["services"]):
        one = file["services"][name]
        if "ports" in one:
            raise AssertionError(f"{name} takes a port of the host")
        if name in SERVERS:
            _check_server(name, one)
            continue
        probe = one.get("healthcheck", {}).get("test")
        services.append(
            Service(
                name,
                one["command"],
                {**built.environment, **{k: str(v) for k, v in one.get("environment", {}).items()}},
                volumes=_mounted(one, file["volumes"]),
                once=one["restart"] == "no",
                probe=probe[1:] if probe else None,
                read_only=one["read_only"],
                stop_signal=signal.Signals[one.get("stop_signal", built.stop_signal)],
                stop_seconds=_seconds(one.get("stop_grace_period")),
            )
        )
    open_ports = {int(port) for one in file["services"].values() for port in one.get("expose", [])}
    if open_ports != {8080}:
        raise AssertionError("web alone is meant for EasyPanel's domains")
    return Deployment(
        form,
        built.home,
        services,
        names=list(file["services"]),
        build=built.build,
        image=True,
        open_ports=frozenset({8000, 8001}),
    )


def _filled(value: Any, environ: dict[str, str]) -> Any:
    """Put the variables in, as Compose does."""
    if isinstance(value, dict):
        return {key: _filled(each, environ) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, environ) for each in value]
    if not isinstance(value, str):
        return value

    def put(match: "re.Match[str]") -> str:
        name, sign, text = match.groups()
        found = environ.get(name, "")
        if not found and sign == "?":
            raise AssertionError(f"env.example does not name {name}")
        return found or (text if sign == "-" else "")

    return TAKEN.sub(put, value)


def _order(services: dict[str, Any]) -> list[str]:
    """Return the services, each after those it depends on."""
    found: list[str] = []

    def add(name: str) -> None:
        for other in services[name].get("depends_on", []):
            add(other)
        if name not in found:
            found.append(name)

    for name in services:
        add(name)
    return found


def _check_server(name: str, one: dict[str, Any]) -> None:
    """Refuse a server that differs from the one that stands in for it."""
    if not one["image"].startswith(SERVERS[name]):
        raise AssertionError(f"{name} is not {SERVERS[name]}…")
    said = " ".join([*one.get("command", []), *one.get("environment", {}).values()])
    if SECRETS[f"{name.upper()}_PASSWORD"] not in said:
        raise AssertionError(f"{name} is not given its password")


def _mounted(one: dict[str, Any], declared: dict[str, Any]) -> dict[str, str]:
    found = {}
    for line in one.get("volumes", []):
        volume, _, folder = line.partition(":")
        if volume not in declared:
            raise AssertionError(f"{volume} is not declared")
        found[folder] = volume
    return found


def _seconds(text: str | None) -> float:
    return float(text.removesuffix("s")) if text else STOP_SECONDS
