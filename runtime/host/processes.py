"""What the operating system knows about processes: who lives, who is whose child, how much memory.

A process id alone names nobody: it is used again. With the moment it started, it names one life.
"""

import subprocess
from pathlib import Path

PROC = Path("/proc")
HAS_PROC = (PROC / "self" / "stat").exists()


def started(pid: int) -> str | None:
    """Return when this process started, in whatever unit the system has; None: nobody lives there.

    A process that has ended and was not yet waited for counts as nobody.
    """
    if HAS_PROC:
        fields = _stat(pid)
        return None if fields is None or fields[0] == "Z" else fields[19]
    shown = subprocess.run(  # noqa: S603 - a number
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout.strip() or None


def family(pid: int) -> list[int]:
    """Return this process and everybody below it, itself first."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir() if HAS_PROC else ():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for one in found:  # it grows while we walk it
        found += children.get(one, [])
    return found


def pss_bytes(pids: list[int]) -> int:
    """Return the memory of processes, where shared pages are shared out among those who map them.

    A process that is gone, or that is not ours to look at, counts nothing.
    """
    total = 0
    for pid in pids:
        try:
            lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total * 1024


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the state on; the name before may hold anything."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()
