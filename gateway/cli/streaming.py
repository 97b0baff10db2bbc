"""Print what an invocation emits, as it comes."""

import json
import sys

from gateway.cli.output import safe
from runtime.follower import Emitted, Ended, Restarted, Told
from runtime.streams import Streams


class Printer:
    """Prints texts as they are, one after another; anything else as JSON on a line of its own.

    As JSON: one document a line, `{"chunk": …}`, `{"restart": true}`, and the outcome last.
    """

    def __init__(self, name: str, as_json: bool) -> None:
        self._name = name
        self._as_json = as_json
        self._open = False
        """Whether the line that was begun is not ended."""
        self._said = False

    def show(self, told: Told) -> None:
        """Print one."""
        match told:
            case Emitted(_, data) if self._as_json:
                self._line(f'{{"chunk": {data}}}')
            case Emitted(_, data):
                self._chunk(json.loads(data))
            case Restarted() if self._as_json:
                self._line('{"restart": true}')
            case Restarted():
                self._complain("the attempt failed; another one begins anew")
                self._said = False
            case Ended():
                self._end(told)

    def left(self) -> None:
        """Say that nobody follows any more, and the function goes on."""
        self._complain(f"{self._name} goes on; see `nexus invocation {self._name}`")

    def _end(self, told: Ended) -> None:
        result = None if told.result is None else json.loads(told.result)
        if self._as_json:
            document = {"id": self._name, "state": told.state, "result": result}
            self._line(json.dumps({**document, "error": told.error}, ensure_ascii=False))
        elif told.state != "done":
            self._complain(f"{self._name} is {told.state}: {told.error}")
        elif not self._said and result is not None:  # a silent function: its result, as ever
            self._chunk(result)
        self._newline()

    def _chunk(self, chunk: object) -> None:
        self._said = True
        if isinstance(chunk, str):
            print(safe(chunk), end="", flush=True)
            self._open = not chunk.endswith("\n") if chunk else self._open
        else:
            self._newline()
            self._line(safe(json.dumps(chunk, ensure_ascii=False)))

    def _line(self, text: str) -> None:
        print(text, flush=True)

    def _newline(self) -> None:
        if self._open:
            print(flush=True)
            self._open = False

    def _complain(self, text: str) -> None:
        self._newline()
        print(safe(f"nexus: {text}"), file=sys.stderr)


async def follow(streams: Streams, invocation: int, printer: Printer) -> int:
    """Print an invocation's stream to its end; returns the exit code.

    Ctrl-C stops following alone.
    """
    async with streams.following(invocation) as follower:
        try:
            while True:
                await follower.news.wait()
                for told in follower.take():
                    printer.show(told)
                    if isinstance(told, Ended):
                        return 0 if told.state == "done" else 1
        except BaseException:
            printer.left()
            raise
