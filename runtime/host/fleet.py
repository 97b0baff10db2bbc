"""Workers of single functions, beside the one of all functions: as many as scaling asks for.

One that is not needed any more retires: it takes nothing more, finishes what it runs, and ends.
"""

import asyncio
from collections.abc import Callable

from runtime.host.errors import ServerFailed
from runtime.host.journal import Journal
from runtime.host.keeper import Keeper
from runtime.host.program import Program


class Fleet:
    """The workers of single functions on this machine."""

    def __init__(
        self,
        worker_of: Callable[[str, int], Program],
        keeper_of: Callable[[Program], Keeper],
        journal: Journal,
    ) -> None:
        """Create it, empty.

        Args:
            worker_of: what to run, by function and number (from 1).
            keeper_of: keeps a program running.
            journal: where to tell of it.
        """
        self._worker_of, self._keeper_of, self._journal = worker_of, keeper_of, journal
        self._working: dict[str, list[Keeper]] = {}
        self._retiring: dict[Keeper, asyncio.Task[None]] = {}

    def count(self, function: str) -> int:
        """Return how many workers a function has, or will have in a moment."""
        return len(self._working.get(function, ()))

    def keepers(self) -> list[Keeper]:
        """Return all of them, those that retire included."""
        return [*(each for group in self._working.values() for each in group), *self._retiring]

    async def set(self, function: str, count: int, reason: str) -> None:
        """Start or retire workers until a function has `count`. Safe to run twice."""
        group = self._working.setdefault(function, [])
        before = len(group)
        while len(group) > count:
            self._retire(group.pop())
        while len(group) < count:
            taken = {keeper.program.name for keeper in self.keepers()}
            number = next(n for n in range(1, 1000) if f"{function}.{n}" not in taken)
            keeper = self._keeper_of(self._worker_of(function, number))
            group.append(keeper)
            try:
                await keeper.start()
            except ServerFailed as error:
                group.remove(keeper)
                self._journal.say(str(error), level="warning")
                return
        if len(group) != before:
            self._journal.say(f"{function:<9} {1 + before} -> {1 + count} processes ({reason})")

    async def stop(self, limit_seconds: float) -> None:
        """Stop all of them, also those that retire."""
        await asyncio.gather(*(keeper.stop(limit_seconds) for keeper in self.keepers()))

    def _retire(self, keeper: Keeper) -> None:
        task = asyncio.create_task(keeper.retire())
        self._retiring[keeper] = task
        task.add_done_callback(lambda _: self._retiring.pop(keeper, None))
