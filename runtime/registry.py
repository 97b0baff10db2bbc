"""All functions, found by name in their packages."""

import importlib
import pkgutil
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from runtime.errors import DeclarationError, UnknownFunction
from runtime.event import Event
from runtime.function import Function, suggest
from runtime.trigger import Webhook


@dataclass(frozen=True)
class BrokenFile:
    """A function file that does not import. The others run without it."""

    name: str
    file: str
    line: int
    error: str

    def __str__(self) -> str:
        """Return one line: where, and what."""
        return f"{self.file}:{self.line}: {self.error}"


class Registry:
    """Functions by name and by event."""

    def __init__(self, functions: list[Function[Any]], broken: list[BrokenFile]) -> None:
        self.functions = _by_name(functions)
        self.broken = broken
        self._by_event: dict[type[Event], Function[Any]] = {}
        self._aliases: dict[str, str] = {}
        for each in self.functions.values():
            other = self._by_event.setdefault(each.event_type, each)
            if other is not each:
                raise DeclarationError(
                    f"{each.event_type.__name__} is the event of both {other.name} and"
                    f" {each.name}: one event, one function"
                )
            for alias in each.policy.aliases:
                self._add_alias(alias, each.name)
        self._refuse_shared_webhooks()

    def _add_alias(self, alias: str, name: str) -> None:
        """Let a former name find a function; it must not find another one now."""
        other = alias if alias in self.functions else self._aliases.setdefault(alias, name)
        if other != name:
            raise DeclarationError(
                f"aliases=({alias!r},) of {name}: {other} has that name; a former name is one"
                " that nobody has any more"
            )

    def _refuse_shared_webhooks(self) -> None:
        by_path: dict[str, str] = {}
        for each in self:
            for trigger in each.policy.trigger:
                if not isinstance(trigger, Webhook):
                    continue
                other = by_path.setdefault(trigger.path, each.name)
                if other != each.name:
                    raise DeclarationError(
                        f"Webhook({trigger.path!r}) is declared by both {other} and {each.name}:"
                        " one address, one function"
                    )

    def __iter__(self) -> Iterator[Function[Any]]:
        """Yield functions in the order of their names."""
        return iter(self.functions.values())

    def named(self, name: str) -> Function[Any]:
        """Return a function by its name or a former name.

        Raises:
            UnknownFunction: with the nearest name; or saying that its file does not import.
        """
        found = self.functions.get(self._aliases.get(name, name))
        if found is None:
            for each in self.broken:
                if each.name == name:
                    raise UnknownFunction(f"{name} does not import: {each}")
            raise UnknownFunction(f"no function {name!r}{suggest(name, list(self.functions))}")
        return found

    def former(self, name: str) -> Function[Any] | None:
        """Return the function that has this name or had it; None: there is none."""
        return self.functions.get(self._aliases.get(name, name))

    def of_event(self, event: Event) -> Function[Any]:
        """Return the function that takes this event."""
        found = self._by_event.get(type(event))
        if found is None:
            raise UnknownFunction(f"no function takes {type(event).__name__}")
        return found


def _by_name(functions: list[Function[Any]]) -> dict[str, Function[Any]]:
    """Return them in the order of their names.

    Raises:
        DeclarationError: two have one name.
    """
    found: dict[str, Function[Any]] = {}
    for each in sorted(functions, key=lambda one: one.name):
        other = found.setdefault(each.name, each)
        if other is not each:
            raise DeclarationError(
                f"{each.name} is a function of both {other.module} and {each.module}: rename one"
            )
    return found


def load_registry(packages: str = "functions") -> Registry:
    """Import every function file of the comma-separated packages.

    A file is a module directly in the package whose name does not start with an underscore. A
    file that fails to import is reported by name and line and leaves the others running.
    """
    functions: list[Function[Any]] = []
    broken: list[BrokenFile] = []
    for package_name in filter(None, (part.strip() for part in packages.split(","))):
        package = importlib.import_module(package_name)
        for info in pkgutil.iter_modules(package.__path__):
            if info.ispkg or info.name.startswith("_"):
                continue
            try:
                module = importlib.import_module(f"{package_name}.{info.name}")
            except BaseException as error:  # a file may raise anything, SystemExit too
                if isinstance(error, KeyboardInterrupt):
                    raise
                broken.append(_broken(info, error))
                continue
            functions += [
                value
                for value in vars(module).values()
                if isinstance(value, Function) and value.module == module.__name__
            ]
    return Registry(functions, broken)


def _broken(info: pkgutil.ModuleInfo, error: BaseException) -> BrokenFile:
    """Name the deepest line inside the function's own file."""
    spec = info.module_finder.find_spec(info.name, None)
    file = str(spec.origin) if spec else info.name
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == file
    ]
    line = error.lineno if isinstance(error, SyntaxError) and error.lineno else None
    return BrokenFile(
        info.name,
        file,
        line or (lines[-1] if lines else 1) or 1,
        f"{type(error).__name__}: {str(error).partition(chr(10))[0]}",
    )
