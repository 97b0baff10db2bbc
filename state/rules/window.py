"""The service window: free text may be sent for 24 hours after a person's last message.

WhatsApp Cloud API, "customer service window"; outside of it the provider takes templates alone
(error 131047).
"""

from datetime import datetime, timedelta

WINDOW = timedelta(hours=24)


def closes_at(written_at: datetime) -> datetime:
    """Return when the window that a person's message opened closes.

    >>> from datetime import UTC
    >>> closes_at(datetime(2026, 11, 23, 9, 30, tzinfo=UTC)).isoformat()
    '2026-11-24T09:30:00+00:00'
    """
    return written_at + WINDOW


def is_open(window_until: datetime | None, now: datetime) -> bool:
    """Say whether free text may be sent; None: the person never wrote.

    >>> from datetime import UTC
    >>> noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    >>> is_open(None, noon), is_open(noon, noon), is_open(noon + timedelta(seconds=1), noon)
    (False, False, True)
    """
    return window_until is not None and now < window_until
