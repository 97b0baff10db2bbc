"""When silence proves that a send which nobody answered did not arrive.

An attempt without an answer is decided by its first status, which carries the attempt's token. No
status proves something only if one would have reached us:

- our doors were open for W seconds since the attempt began (the intake clock counts them), and
  what came in during them has been read, and
- a status of a *later* send of the same number did come: the provider is telling, and we hear; and
- our doors did not close in between. While they were closed the provider's tries failed, and it
  tries again ever less often: the next try comes after about as long as it has tried already. So
  after a gap silence counts again only when the doors stayed open for twice the time from the
  attempt to the end of the gap, and for five times W at least.

Without that proof a send waits, until the patience ends; then a person decides.
"""

from enum import Enum
from typing import NamedTuple

AFTER_GAP = 5
"""After a gap the provider's first tries may be far apart: wait so many times W."""


class Silence(NamedTuple):
    """What is known of an attempt that has no answer and no status. Times are in seconds."""

    age: float
    """Since it began, by Postgres' clock."""
    lived: int
    """Of its age, how long our doors were open: ticks of the intake clock."""
    gap: float | None
    """How long after its beginning a gap ended; None: there was none since it began."""
    later_status: bool
    """A status came for a later send of the same number."""
    unread: float = 0.0
    """Age of the oldest delivery that nobody has read yet: what came since then proves nothing."""


class Proof(Enum):
    """What the silence means."""

    ABSENT = "it did not arrive"
    OPEN = "nobody can say yet"
    HOPELESS = "nobody will be able to say"


def judge(silence: Silence, *, evidence_seconds: float, patience_seconds: float) -> Proof:
    """Say what the silence means.

    >>> rule = {"evidence_seconds": 60, "patience_seconds": 600}
    >>> judge(Silence(age=59, lived=61, gap=None, later_status=True), **rule).name
    'OPEN'
    >>> judge(Silence(age=61, lived=60, gap=None, later_status=True), **rule).name
    'ABSENT'
    >>> judge(Silence(age=61, lived=60, gap=None, later_status=False), **rule).name
    'OPEN'
    >>> judge(Silence(age=90, lived=61, gap=20, later_status=True), **rule).name
    'OPEN'
    >>> judge(Silence(age=320, lived=301, gap=20, later_status=True), **rule).name
    'ABSENT'
    >>> judge(Silence(age=900, lived=550, gap=400, later_status=True), **rule).name
    'OPEN'
    >>> judge(Silence(age=70, lived=70, gap=None, later_status=True, unread=12), **rule).name
    'OPEN'
    >>> judge(Silence(age=73, lived=72, gap=None, later_status=True, unread=12), **rule).name
    'ABSENT'
    >>> judge(Silence(age=9000, lived=600, gap=400, later_status=False), **rule).name
    'HOPELESS'
    """
    lived = silence.lived - silence.unread
    quiet = min(silence.age - silence.unread, lived)
    needed = evidence_seconds
    if silence.gap is not None:
        # Since the gap the doors were open all the time, or there would be a later one.
        quiet = min(quiet, silence.age - silence.unread - silence.gap)
        needed = max(AFTER_GAP * evidence_seconds, 2 * silence.gap)
    if silence.later_status and quiet >= needed:
        return Proof.ABSENT
    if lived >= patience_seconds:
        return Proof.HOPELESS
    return Proof.OPEN
