"""Take a delivery of WhatsApp apart. Pure, and lenient: whatever comes, the rest is taken.

Unknown fields, kinds and values pass. A part that cannot be taken becomes an oddity with its place
and a reason; everything beside it is kept. WhatsApp Cloud API, webhook reference.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from functions.intake.json_text import fit, parse
from functions.intake.kinds import asks_for_answer, readable
from functions.intake.parts import (
    Echo,
    Inbound,
    Oddity,
    Person,
    Preference,
    Split,
    Status,
)

WAMID_LIMIT, ID_LIMIT, NAME_LIMIT, KIND_LIMIT = 512, 160, 200, 40
OLDEST = datetime(2009, 1, 1, tzinfo=UTC)
"""WhatsApp did not exist before."""


class Odd(ValueError):
    """Why a part cannot be taken; never what somebody wrote."""


def split(body: bytes) -> Split:
    """Return everything that is in a delivery. Raises nothing, whatever the bytes are."""
    found = Split()
    try:
        data = parse(body)
    except ValueError as error:
        found.oddities.append(Oddity("", str(error)))
        return found
    if not isinstance(data, dict) or not isinstance(data.get("entry"), list):
        found.oddities.append(Oddity("", "no entries: not a delivery of WhatsApp"))
        return found
    for place, entry in _listed(data, "entry", "", found, None):
        for there, change in _listed(entry, "changes", place, found, None):
            _change(change, there, found)
    return found


def _change(change: dict[str, Any], place: str, found: Split) -> None:
    value = change.get("value")
    if not isinstance(value, dict):
        found.oddities.append(Oddity(place, "no value"))
        return
    metadata = value.get("metadata")
    address = _id(metadata.get("phone_number_id")) if isinstance(metadata, dict) else None
    people = _people(value.get("contacts"))
    readers: tuple[tuple[str, Callable[..., Any], list[Any]], ...] = (
        ("messages", _inbound, found.inbound),
        ("message_echoes", _echo, found.echoes),
        ("statuses", _status, found.statuses),
        ("user_preferences", _preference, found.preferences),
    )
    for name, read, into in readers:
        for there, part in _listed(value, name, f"{place}.value", found, address):
            try:
                if address is None:
                    raise Odd("no phone_number_id")
                into.append(read(fit(part), there, address, people))
            except ValueError as why:
                found.oddities.append(Oddity(there, str(why), address))
    for there, error in _listed(value, "errors", f"{place}.value", found, address):
        code = error.get("code")
        reason = f"the provider reports error {code if isinstance(code, int) else 'unknown'}"
        found.oddities.append(Oddity(there, reason, address))


def _listed(
    value: dict[str, Any], name: str, place: str, found: Split, address: str | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the objects of a list with their places; what is no object is odd."""
    listed = value.get(name)
    if listed is None:
        return
    at = f"{place}.{name}".removeprefix(".")
    if not isinstance(listed, list):
        found.oddities.append(Oddity(at, "not a list", address))
        return
    for number, one in enumerate(listed):
        if isinstance(one, dict):
            yield f"{at}[{number}]", one
        else:
            found.oddities.append(Oddity(f"{at}[{number}]", "not an object", address))


def _inbound(part: dict[str, Any], place: str, address: str, people: list[Person]) -> Inbound:
    kind = _kind(part)
    person = _person(part.get("from"), part.get("from_user_id"), people)
    if person is None:
        raise Odd("a message from nobody")
    detail = part.get(kind)
    detail = detail if isinstance(detail, dict) else {}
    return Inbound(
        place,
        address,
        wamid=_wamid(part),
        person=person,
        at=_time(part),
        kind=kind,
        body=readable(kind, part),
        content=part,
        asks=asks_for_answer(kind),
        about=_id(detail.get("original_message_id"), WAMID_LIMIT),
        moved_to=_moved(detail) if kind == "system" else None,
    )


def _echo(part: dict[str, Any], place: str, address: str, people: list[Person]) -> Echo:
    kind = _kind(part)
    person = _person(part.get("to"), part.get("to_user_id"), people)
    if person is None:
        raise Odd("an echo to nobody")
    return Echo(
        place,
        address,
        wamid=_wamid(part),
        person=person,
        at=_time(part),
        kind=kind,
        body=readable(kind, part),
        content=part,
    )


def _status(part: dict[str, Any], place: str, address: str, _: list[Person]) -> Status:
    status = part.get("status")
    if not isinstance(status, str):
        raise Odd("a status without a status")
    code, problem = _error(part.get("errors"))
    return Status(
        place,
        address,
        wamid=_wamid(part),
        status=status[:KIND_LIMIT],
        token=part.get("biz_opaque_callback_data"),
        code=code,
        problem=problem,
    )


def _preference(part: dict[str, Any], place: str, address: str, people: list[Person]) -> Preference:
    person = _person(part.get("wa_id"), part.get("user_id"), people)
    value = part.get("value")
    if person is None:
        raise Odd("a preference of nobody")
    if value not in ("stop", "resume"):
        raise Odd("a preference that is neither stop nor resume")
    return Preference(place, address, person, stop=value == "stop")


def _people(contacts: Any) -> list[Person]:
    found = []
    for one in contacts if isinstance(contacts, list) else []:
        if isinstance(one, dict):
            profile = one.get("profile")
            name = profile.get("name") if isinstance(profile, dict) else None
            person = Person(
                _id(one.get("wa_id")),
                _id(one.get("user_id")),
                fit(name)[:NAME_LIMIT].strip() or None if isinstance(name, str) else None,
            )
            if person.phone or person.bsuid:
                found.append(person)
    return found


def _person(phone: Any, bsuid: Any, people: list[Person]) -> Person | None:
    """Return somebody by the ids that a part gives, completed by the contacts beside it."""
    phone, bsuid = _id(phone), _id(bsuid)
    if phone is None and bsuid is None:
        return None
    for one in people:
        if (bsuid and one.bsuid == bsuid) or (phone and one.phone == phone):
            return Person(phone or one.phone, bsuid or one.bsuid, one.name)
    return Person(phone, bsuid)


def _moved(detail: dict[str, Any]) -> Person | None:
    """Return the new ids that a system message tells of; None: it tells of none."""
    phone, bsuid = _id(detail.get("wa_id")), _id(detail.get("user_id"))
    return Person(phone, bsuid) if phone or bsuid else None


def _error(errors: Any) -> tuple[int | None, str | None]:
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict):
        return None, None
    code = first.get("code")
    texts = [text for name in ("title", "message") if isinstance(text := first.get(name), str)]
    number = code if isinstance(code, int) and not isinstance(code, bool) else None
    return number, texts[0][:NAME_LIMIT] if texts else None


def _kind(part: dict[str, Any]) -> str:
    kind = part.get("type")
    return kind[:KIND_LIMIT] if isinstance(kind, str) and kind else "unknown"


def _wamid(part: dict[str, Any]) -> str:
    wamid = _id(part.get("id"), WAMID_LIMIT)
    if wamid is None:
        raise Odd("no id, so it could not be told from a repetition")
    return wamid


def _id(value: Any, limit: int = ID_LIMIT) -> str | None:
    if isinstance(value, str) and 0 < len(value) <= limit and value.isprintable():
        return value
    return None


def _time(part: dict[str, Any]) -> datetime | None:
    """Return the provider's time: seconds, as text. None: it makes no sense."""
    value = part.get("timestamp")
    try:
        found = datetime.fromtimestamp(int(value), UTC) if value is not None else None
    except (ValueError, TypeError, OverflowError, OSError):
        return None
    return found if found is not None and found > OLDEST else None
