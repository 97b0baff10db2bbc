"""What the provider's error codes mean, and what to do about them.

WhatsApp Cloud API, Error codes. Decided by the code: titles and the HTTP status change.
"""

from enum import Enum
from typing import NamedTuple


class Remedy(Enum):
    """What helps against a refusal."""

    WAIT = "try again later"
    PAIR = "try again later: too many messages to this person"
    FEW = "try again a few times"
    STOP = "stop the number: a person has to act"
    OTHER_FORM = "try the other form of the number once"
    OPT_OUT = "no marketing to this person any more"
    NEVER = "not again"


class Refusal(NamedTuple):
    """One code: what to do, and why, in words for the merchant."""

    remedy: Remedy
    words: str


FEW_TRIES = 6
LONGEST_WAIT_SECONDS = 300.0
PAIR_FIRST_SECONDS = 6.0
"""WhatsApp lets through one message per 6 seconds to one person."""

_SLOW = "WhatsApp asks for less speed"
_BROKEN = "WhatsApp has a problem of its own"
_WRONG = "WhatsApp does not take a message of this kind"
_TEMPLATE = "WhatsApp does not take this template: look at it in WhatsApp Manager"

REFUSALS: dict[int, Refusal] = {
    **dict.fromkeys((4, 80007, 130429), Refusal(Remedy.WAIT, _SLOW)),
    131056: Refusal(Remedy.PAIR, "WhatsApp asks for less speed with this person"),
    **dict.fromkeys((1, 2, 131000, 131016, 131057, 133004), Refusal(Remedy.FEW, _BROKEN)),
    **dict.fromkeys(
        (0, 190),
        Refusal(Remedy.STOP, "the access token is not valid any more: enter a new one"),
    ),
    **dict.fromkeys(
        (3, 10, *range(200, 300)),
        Refusal(Remedy.STOP, "the access token may not send for this number: give it the right"),
    ),
    **dict.fromkeys(
        (368, 131031),
        Refusal(Remedy.STOP, "Meta has restricted this account: see WhatsApp Manager"),
    ),
    131037: Refusal(Remedy.STOP, "the number's display name is not approved: see WhatsApp Manager"),
    131042: Refusal(Remedy.STOP, "Meta cannot charge for messages: put the payment method right"),
    131045: Refusal(Remedy.STOP, "the number is not registered: register it again"),
    131048: Refusal(Remedy.STOP, "too many people reported messages of this number: pause it"),
    133016: Refusal(Remedy.STOP, "the number was registered too often: wait three days"),
    **dict.fromkeys(
        (131026, 131030), Refusal(Remedy.OTHER_FORM, "WhatsApp cannot reach this person there")
    ),
    131047: Refusal(
        Remedy.NEVER, "24 hours have passed since this person wrote: it needs a template"
    ),
    131049: Refusal(
        Remedy.NEVER, "WhatsApp holds back marketing to this person: wait a day or longer"
    ),
    131050: Refusal(Remedy.OPT_OUT, "this person has asked WhatsApp for no marketing"),
    130472: Refusal(Remedy.NEVER, "WhatsApp leaves this person out for an experiment"),
    130497: Refusal(Remedy.NEVER, "WhatsApp does not let this business write to that country"),
    131021: Refusal(Remedy.NEVER, "the shop's own number cannot write to itself"),
    131052: Refusal(Remedy.NEVER, "WhatsApp could not fetch the file"),
    131053: Refusal(Remedy.NEVER, "WhatsApp does not take this file"),
    **dict.fromkeys(
        (131062, 131063), Refusal(Remedy.NEVER, "WhatsApp needs this person's phone number for it")
    ),
    **dict.fromkeys(
        (100, 131005, 131008, 131009, 131051, 135000, 137000), Refusal(Remedy.NEVER, _WRONG)
    ),
    **dict.fromkeys(
        (132000, 132001, 132005, 132007, 132012, 132015, 132016, 132068, 132069),
        Refusal(Remedy.NEVER, _TEMPLATE),
    ),
}


def refusal_of(code: int | None) -> Refusal:
    """Return what a code means; an unknown one is worth a few tries.

    >>> refusal_of(131047).remedy.name, refusal_of(77).remedy.name, refusal_of(204).remedy.name
    ('NEVER', 'FEW', 'STOP')
    """
    unknown = Refusal(Remedy.FEW, "WhatsApp refused it")
    return unknown if code is None else REFUSALS.get(code, unknown)


def problem_of(code: int | None, said: str | None = None) -> str:
    """Return why a message failed, in words; what the provider said only of unknown codes.

    >>> problem_of(131026)
    'WhatsApp cannot reach this person there (131026)'
    >>> problem_of(77, "Strange thing"), problem_of(None)
    ('WhatsApp refused it: Strange thing (77)', 'WhatsApp refused it')
    """
    words = refusal_of(code).words
    if code not in REFUSALS and said:
        words += f": {said[:200]}"
    return words if code is None else f"{words} ({code})"


def wait_seconds(remedy: Remedy, refused: int) -> float:
    """Return how long to wait after the `refused`-th refusal in a row (from 1), without jitter.

    >>> [wait_seconds(Remedy.PAIR, refused) for refused in (1, 2, 3, 4, 5)]
    [6.0, 16.0, 64.0, 256.0, 300.0]
    >>> [wait_seconds(Remedy.WAIT, refused) for refused in (1, 2, 3, 12)]
    [1.0, 2.0, 4.0, 300.0]
    """
    if remedy is Remedy.PAIR:
        seconds = PAIR_FIRST_SECONDS if refused < 2 else 4.0 ** min(refused, 8)
    else:
        seconds = 2.0 ** min(refused - 1, 12)
    return min(seconds, LONGEST_WAIT_SECONDS)
