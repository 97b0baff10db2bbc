"""What one delivery holds, taken apart: plain data, ready to be stored."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Person:
    """Somebody on WhatsApp, by whatever ids are known; at least one is."""

    phone: str | None = None
    """As the provider writes it: digits, with the country."""
    bsuid: str | None = None
    """Business-scoped user id; stays when the number is hidden."""
    name: str | None = None


@dataclass(frozen=True)
class Part:
    """Something in a delivery."""

    place: str
    """Where it was, e.g. `entry[0].changes[0].value.messages[2]`."""
    address: str
    """The phone_number_id that it came to."""


@dataclass(frozen=True)
class Inbound(Part):
    """A message of a shopper."""

    wamid: str
    person: Person
    at: datetime | None
    """The provider's time; None: it made no sense."""
    kind: str
    body: str | None
    """What a person reads; None: nothing."""
    content: dict[str, Any] = field(repr=False)
    asks: bool = True
    """Whether it asks for an answer."""
    about: str | None = None
    """edit, revoke: the message that it changes."""
    moved_to: Person | None = None
    """system: the ids under which this person goes on."""


@dataclass(frozen=True)
class Echo(Part):
    """A message that the merchant typed in WhatsApp itself."""

    wamid: str
    person: Person
    """To whom."""
    at: datetime | None
    kind: str
    body: str | None
    content: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Status(Part):
    """What became of a message that was sent."""

    wamid: str
    status: str
    """sent, delivered, read, failed; others may come."""
    token: Any
    """`biz_opaque_callback_data` as it came."""
    code: int | None
    problem: str | None


@dataclass(frozen=True)
class Preference(Part):
    """Somebody says whether they want marketing."""

    person: Person
    stop: bool


@dataclass(frozen=True)
class Oddity:
    """A part that nobody could take."""

    place: str
    reason: str
    """Never what somebody wrote."""
    address: str | None = None


@dataclass
class Split:
    """Everything in one delivery, in order."""

    inbound: list[Inbound] = field(default_factory=list)
    echoes: list[Echo] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)
    preferences: list[Preference] = field(default_factory=list)
    oddities: list[Oddity] = field(default_factory=list)

    def addresses(self) -> list[str]:
        """Return every phone_number_id in it, sorted."""
        parts = (*self.inbound, *self.echoes, *self.statuses, *self.preferences)
        known = {one.address for one in self.oddities if one.address}
        return sorted({part.address for part in parts} | known)
