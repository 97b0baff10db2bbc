"""A registry whose functions have their numbers in the database."""

import hashlib
from collections.abc import Iterator
from typing import Any

from runtime.event import Event, encode
from runtime.function import Function
from runtime.lanes import lane_number
from runtime.registry import Registry
from state.database import Connection
from state.dispatch import Asked
from state.functions import Declared, number_functions
from state.scaling import Scaling


class NumberedRegistry:
    """Functions by number, and events made ready to be stored."""

    def __init__(self, registry: Registry, numbers: dict[str, int]) -> None:
        self.registry = registry
        self.numbers = numbers
        """Numbers by name, former names included."""

    @classmethod
    async def load(cls, connection: Connection, registry: Registry) -> "NumberedRegistry":
        """Store what is declared, and learn the numbers. Safe to run twice."""
        declared = []
        for each in registry:
            burst = each.policy.burst
            for name in (each.name, *each.policy.aliases):
                declared.append(
                    Declared(
                        name,
                        burst.quiet_seconds if burst else None,
                        burst.cap_seconds if burst else None,
                    )
                )
        return cls(registry, await number_functions(connection, declared))

    def served(self, only: tuple[str, ...] = ()) -> Iterator[tuple[int, Function[Any]]]:
        """Give functions with every number under which their work may be stored.

        Args:
            only: names; none: all.
        """
        chosen = [self.registry.named(name) for name in only] or list(self.registry)
        for each in dict.fromkeys(chosen):
            for name in (each.name, *each.policy.aliases):
                yield self.numbers[name], each

    def scaling(self) -> list[Scaling]:
        """Return how each function may be scaled."""
        return [
            Scaling(fn, each.name, scale.minimum, scale.maximum, each.policy.at_once)
            for fn, each in self.served()
            for scale in (each.policy.scale,)
        ]

    def ask(
        self,
        event: Event,
        *,
        tenant: int,
        delay_seconds: float = 0.0,
        key: str | None = None,
        reply_to: int | None = None,
    ) -> Asked:
        """Make an event ready to be stored.

        Raises:
            UnknownFunction: no function takes it.
            EventTooLarge: see `encode`.
        """
        function = self.registry.of_event(event)
        text = encode(event)
        lane = function.lane_key(event)
        burst = function.policy.burst if lane is not None else None
        return Asked(
            tenant=tenant,
            fn=self.numbers[function.name],
            event=text,
            lane=None if lane is None else lane_number(function.namespace, lane),
            reply_to=reply_to,
            delay_seconds=max(delay_seconds, burst.quiet_seconds) if burst else delay_seconds,
            cap_seconds=burst.cap_seconds if burst else None,
            key=key,
            fingerprint=None if key is None else fingerprint(function.name, text),
        )


def fingerprint(name: str, event: str) -> str:
    """Return what tells whether a repeated key asks for the same thing."""
    return hashlib.sha256(f"{name}\0{event}".encode()).hexdigest()[:32]
