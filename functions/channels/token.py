"""The token of an attempt: sent along with a message, echoed in each of its statuses.

`1.<attempt>.<8 hex>`: no personal data, since every app of the WhatsApp account may read it. The
hex digits are an HMAC under a key made from ENCRYPTION_KEY, so that nobody else's token is taken
for one of ours. WhatsApp Cloud API: `biz_opaque_callback_data`, 512 characters at most.
"""

import hashlib
import hmac
import re
from uuid import UUID

from pydantic import SecretStr

FORM = re.compile(r"1\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([0-9a-f]{8})")


def token_of(encryption_key: SecretStr | None, attempt: UUID) -> str:
    """Return the token of an attempt.

    >>> key = SecretStr("k1:" + "a" * 44)
    >>> token = token_of(key, UUID(int=7))
    >>> token[:39], attempt_of(key, token) == UUID(int=7)
    ('1.00000000-0000-0000-0000-000000000007.', True)

    Raises:
        ValueError: there is no key.
    """
    keys = _keys(encryption_key)
    if not keys:
        raise ValueError("ENCRYPTION_KEY is not set, so sends could not be told apart")
    return f"1.{attempt}.{_mark(keys[0], attempt)}"


def attempt_of(encryption_key: SecretStr | None, token: object) -> UUID | None:
    """Return the attempt that a token names; None: it is none of ours.

    Every key of the ring is tried: statuses come for days, also after a rotation.

    >>> attempt_of(SecretStr("other"), "1.00000000-0000-0000-0000-000000000007.deadbeef")
    >>> attempt_of(SecretStr("other"), {"not": "even text"})
    """
    found = FORM.fullmatch(token) if isinstance(token, str) else None
    if found is None:
        return None
    attempt = UUID(found[1])
    marks = [_mark(key, attempt) for key in _keys(encryption_key)]
    return attempt if any(hmac.compare_digest(mark, found[2]) for mark in marks) else None


def _keys(encryption_key: SecretStr | None) -> list[bytes]:
    ring = encryption_key.get_secret_value() if encryption_key else ""
    entries = (entry.strip().rpartition(":")[2] for entry in ring.split(","))
    return [
        hmac.digest(entry.encode(), b"nexus send token", "sha256") for entry in entries if entry
    ]


def _mark(key: bytes, attempt: UUID) -> str:
    return hmac.new(key, attempt.bytes, hashlib.sha256).hexdigest()[:8]
