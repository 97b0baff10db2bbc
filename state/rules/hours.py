"""A shop's hours: when messages that nobody waits for may be sent.

Written as `mon-fri 09:00-18:00; sat 10:00-13:00`: days, then one or more spans, in the shop's own
time zone. A span that ends before it begins ends the next day. No text: always open. Replies do
not ask: a person who writes at night is answered at night.
"""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
PART = re.compile(r"(?P<days>[a-z]{3}(?:[-,][a-z]{3})*)\s+(?P<spans>[0-9:,\s-]+)")
SPAN = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\s*-\s*(?:([01]?\d|2[0-3]):([0-5]\d)|(24):(00))")


class Span(NamedTuple):
    """Open from a minute of a weekday (0: Monday) on, for so many minutes."""

    weekday: int
    minute: int
    minutes: int


def parse_hours(text: str) -> tuple[Span, ...]:
    """Return the spans of a week.

    >>> parse_hours("fri-sat 22:00-02:00")
    (Span(weekday=4, minute=1320, minutes=240), Span(weekday=5, minute=1320, minutes=240))
    >>> len(parse_hours("mon-fri 09:00-13:00, 16:00-20:00; sat 10:00-13:00"))
    11

    Raises:
        ValueError: says which part is not understood.
    """
    spans = []
    for written in filter(None, (part.strip().lower() for part in text.split(";"))):
        part = PART.fullmatch(written)
        if part is None:
            raise ValueError(f"{written!r} is not like 'mon-fri 09:00-18:00'")
        times = [_span(one.strip(), written) for one in part["spans"].split(",")]
        spans += [Span(day, *one) for day in _days(part["days"], written) for one in times]
    if not spans:
        raise ValueError("hours need at least one span, like 'mon-fri 09:00-18:00'")
    return tuple(sorted(spans))


def opens_at(hours: str | None, zone: str, now: datetime) -> datetime:
    """Return when the shop is open: `now` itself, or the next opening, in UTC.

    >>> monday = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)  # 12:30 in Buenos Aires
    >>> week, zone = "mon-fri 09:00-18:00", "America/Argentina/Buenos_Aires"
    >>> opens_at(week, zone, monday) == monday == opens_at(None, zone, monday)
    True
    >>> opens_at(week, zone, datetime(2026, 11, 27, 21, 0, tzinfo=UTC)).isoformat()
    '2026-11-30T12:00:00+00:00'
    """
    if hours is None:
        return now
    local = now.astimezone(ZoneInfo(zone))
    openings = []
    for ahead in range(-1, 8):
        day = local.date() + timedelta(days=ahead)
        for span in parse_hours(hours):
            if span.weekday != day.weekday():
                continue
            begin = _moment(day, span.minute, zone)
            if begin <= now < _moment(day, span.minute + span.minutes, zone):
                return now
            if begin > now:
                openings.append(begin)
    return min(openings)


def _moment(day: date, minute: int, zone: str) -> datetime:
    """Return a minute of a day, past midnight too, as the clock on the wall shows it."""
    days, minute = divmod(minute, 24 * 60)
    wall = time(*divmod(minute, 60))
    there = datetime.combine(day + timedelta(days=days), wall, ZoneInfo(zone))
    return there.astimezone(UTC)


def _days(text: str, written: str) -> list[int]:
    found: list[int] = []
    for part in text.split(","):
        names = part.split("-")
        if len(names) > 2 or not set(names) <= set(DAYS):
            raise ValueError(f"{written!r}: days are {', '.join(DAYS)}, or like mon-fri")
        first, last = DAYS.index(names[0]), DAYS.index(names[-1])
        found += [(first + step) % 7 for step in range((last - first) % 7 + 1)]
    return found


def _span(text: str, written: str) -> tuple[int, int]:
    span = SPAN.fullmatch(text)
    if span is None:
        raise ValueError(f"{written!r}: {text!r} is not like 09:00-18:00")
    begin = int(span[1]) * 60 + int(span[2])
    end = int(span[3] or span[5]) * 60 + int(span[4] or span[6])
    if begin == end:
        raise ValueError(f"{written!r}: {text!r} begins when it ends; write 00:00-24:00")
    return begin, (end - begin) % (24 * 60) or 24 * 60
