"""What worker, fork server and children say to each other: one JSON object a line."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pydantic import SecretStr

from runtime.context import Shop
from runtime.settings import Settings
from state.dispatch import Asked
from state.work import Claimed, Finish

LINE_LIMIT_BYTES = 256 * 1024 * 1024
"""More than any job: an event is at most 1 MB, but many may be merged into one."""


@dataclass(frozen=True)
class Preload:
    """What a fork server has to know, told once."""

    settings: dict[str, Any]
    """By alias, secrets in clear: this goes over a socket pair, never into an environment."""
    numbers: dict[str, int]
    worker: int
    roles: bool

    @classmethod
    def of(cls, settings: Settings, numbers: dict[str, int], worker: int, roles: bool) -> "Preload":
        """Put it together."""
        values = settings.model_dump(by_alias=True)
        clear = {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in values.items()
        }
        return cls(clear, numbers, worker, roles)


def line(**message: Any) -> bytes:
    """Return a message as it goes over a socket."""
    return json.dumps(message, default=str).encode() + b"\n"


def job(claimed: Claimed, shop: Shop | None, merged: Sequence[str]) -> dict[str, Any]:
    """Return what a child is to run."""
    fields = claimed._replace(created_at=claimed.created_at.isoformat())  # type: ignore[arg-type]
    return {
        "claimed": list(fields),
        "shop": None if shop is None else asdict(shop),
        "merged": list(merged),
    }


def claimed_of(told: dict[str, Any]) -> Claimed:
    """Return what was claimed."""
    claimed = Claimed(*told["claimed"])
    return claimed._replace(created_at=datetime.fromisoformat(told["claimed"][9]))


def shop_of(told: dict[str, Any]) -> Shop | None:
    """Return whose work it is."""
    return None if told["shop"] is None else Shop(**told["shop"])


def end(finish: Finish) -> dict[str, Any]:
    """Return how an attempt ended, for the worker."""
    return {**asdict(finish), "kind": finish.kind.decode()}


def finish_of(told: dict[str, Any]) -> Finish:
    """Return how an attempt ended."""
    return Finish(**{**told, "kind": told["kind"].encode(), "children": asked_of(told["children"])})


def asked_of(told: Sequence[dict[str, Any]]) -> list[Asked]:
    """Return events that a child asked for, or stored."""
    return [Asked(**one) for one in told]
