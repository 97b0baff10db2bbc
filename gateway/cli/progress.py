"""How far long work has come, on a line of its own; only where a person looks on."""

import sys

from gateway.cli.output import safe

BAR = 30


class Progress:
    """A bar in the terminal."""

    def __init__(self, title: str, *, shown: bool = True) -> None:
        self._title = title
        self._shown = shown and sys.stdout.isatty()
        self._width = 0

    def at(self, done: int, whole: int) -> None:
        """Show that so many of them are done."""
        if self._shown and whole:
            filled = "█" * round(BAR * min(done, whole) / whole)
            line = safe(f"  {self._title}  {filled:<{BAR}} {done:,} of {whole:,}")
            self._width = max(self._width, len(line))
            print(line, end="\r", flush=True)

    def end(self) -> None:
        """Take the line away."""
        if self._width:
            print(" " * self._width, end="\r", flush=True)
