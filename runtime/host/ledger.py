"""Who was started: a list on disk, so that the next supervisor can end what the last one left.

On Linux the kernel ends our processes when the supervisor dies. This is for other systems, for
programs that are slow to obey, and for what they started themselves.
"""

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from runtime.host.layout import write_whole
from runtime.host.processes import family, started

GRACE_SECONDS = 5
LOOK_SECONDS = 0.02


class Ledger:
    """The list of a supervisor's living processes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[int, tuple[str, int]] = {}

    def add(self, pid: int, stop_signal: int) -> None:
        """Write down a process that was just started."""
        moment = started(pid)
        if moment is not None:
            self._known[pid] = (moment, int(stop_signal))
            self._write()

    def remove(self, pid: int) -> None:
        """Forget a process that has ended."""
        if self._known.pop(pid, None):
            self._write()

    def end_orphans(self) -> int:
        """End what an earlier supervisor left behind, and return how many that were.

        Only processes are touched whose id and start match the list: an id that belongs to
        somebody else by now is left alone. Call it with the lock of the state folder held.
        """
        left = {pid: sign for pid, (moment, sign) in self._read().items() if started(pid) == moment}
        moments = {pid: started(pid) for pid in left}
        for pid, stop_signal in left.items():
            with suppress(ProcessLookupError):
                os.kill(pid, stop_signal)
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline and any(started(pid) == moments[pid] for pid in left):
            time.sleep(LOOK_SECONDS)
        for pid in left:
            if started(pid) == moments[pid]:
                for one in reversed(family(pid)):
                    with suppress(ProcessLookupError):
                        os.kill(one, signal.SIGKILL)
        self._write()
        return len(left)

    def _read(self) -> dict[int, tuple[str, int]]:
        try:
            listed = json.loads(self._path.read_text())
            return {int(pid): (str(moment), int(sign)) for pid, (moment, sign) in listed.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def _write(self) -> None:
        write_whole(self._path, json.dumps(self._known), durable=False)
