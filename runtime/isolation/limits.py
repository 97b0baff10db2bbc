"""What the operating system holds a child to. Where it cannot, the child runs without."""

import ctypes
import math
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path

MEGABYTE = 1024 * 1024
PR_SET_PDEATHSIG = 1
OOM_SCORE = "500"
"""When the machine has no memory left, children go before the worker."""


def die_with_parent(parent: int) -> None:
    """Be killed when the process `parent` ends (Linux; elsewhere the end of a pipe tells)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it ended before we asked
            os._exit(1)


def outlive_parent() -> None:
    """Undo `die_with_parent`."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0)


def limit_memory(more_mb: int) -> None:
    """Let this process grow by so much over what it has now, and write no core files."""
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError, ValueError):
        most = _pages()[0] * os.sysconf("SC_PAGE_SIZE") + more_mb * MEGABYTE
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)


def limit_cpu(more_seconds: float) -> None:
    """Let this process use so much CPU from here on; SIGXCPU ends it then."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = math.ceil(used.ru_utime + used.ru_stime + more_seconds)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def resident_mb() -> float:
    """Return how much memory this process occupies; 0 where nobody says."""
    try:
        return _pages()[1] * os.sysconf("SC_PAGE_SIZE") / MEGABYTE
    except OSError:
        return 0.0


def _pages() -> tuple[int, int]:
    """Return the pages of address space, and those in memory (Linux, proc(5), statm)."""
    size, resident, *_ = Path("/proc/self/statm").read_text().split()
    return int(size), int(resident)
