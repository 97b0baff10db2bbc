"""Logins to the pages: who holds the secret of a session is let in, until it is old or unused.

Only hashes are kept: a dump of the table opens nothing. A session is bound to the fingerprint of
the token that opened it, so that changing ADMIN_TOKEN ends it. It ends 12 hours after its last use,
and 7 days after it was opened.
"""

import hashlib
import secrets
from collections.abc import Collection
from typing import NamedTuple

from state.audit import record
from state.database import Database
from state.queries import load

OFFERED, USED = "code:offered", "code:used"


class Session(NamedTuple):
    """An open session."""

    name: str
    """Its first letters as `session:…`, for the audit log; opens nothing."""
    csrf: str
    """What every form sends along."""


class Sessions:
    """Sessions of the whole installation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, fingerprint: str, *, by: str) -> str:
        """Open a session and return its secret.

        Args:
            fingerprint: of the token that it stands for.
            by: `token` or `code`, for the audit log.
        """
        secret, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        digest = _digest(secret)
        async with self._database.engine() as connection, connection.transaction():
            await connection.execute(load("sessions")["open"], digest, csrf, fingerprint)
            name = _name(digest)
            await record(
                connection, actor=name, action="session.open", subject=name, detail={"by": by}
            )
        return secret

    async def find(self, secret: str, fingerprints: Collection[str]) -> Session | None:
        """Return the session of a secret; None: there is none, or its time is over.

        It counts as used now. Written at most once a minute, since pages ask all the time.
        """
        digest = _digest(secret)
        async with self._database.engine() as connection:
            row = await connection.fetchrow(load("sessions")["find"], digest, list(fingerprints))
            if row is None:
                return None
            if row["stale"]:
                await connection.execute(load("sessions")["used"], digest)
        return Session(_name(digest), row["csrf"])

    async def alive(self, secret: str, fingerprints: Collection[str]) -> bool:
        """Say whether a session is still open, without counting this as use."""
        async with self._database.engine() as connection:
            row = await connection.fetchrow(
                load("sessions")["find"], _digest(secret), list(fingerprints)
            )
        return row is not None

    async def close(self, secret: str) -> None:
        """End a session. Safe to run twice."""
        digest = _digest(secret)
        async with self._database.engine() as connection, connection.transaction():
            gone = await connection.fetchval(load("sessions")["close"], digest)
            if gone:
                name = _name(digest)
                await record(connection, actor=name, action="session.close", subject=name)

    async def offer_code(self, code_sha256: str) -> None:
        """Let a one-time code in, for 15 minutes from the first time it is offered.

        Its row stays for ever (`created_at` is infinite, retention passes it by): a gateway that
        starts again with the same code must not open the door a second time.
        """
        async with self._database.engine() as connection:
            await connection.execute(
                load("sessions")["offer_code"], _code_digest(code_sha256), OFFERED
            )

    async def take_code(self, code: str) -> bool:
        """Use a one-time code up; False: it is none, was used, or is too old."""
        digest = _code_digest(hashlib.sha256(code.encode()).hexdigest())
        async with self._database.engine() as connection:
            return bool(
                await connection.fetchval(load("sessions")["take_code"], digest, USED, OFFERED)
            )


def _digest(secret: str) -> bytes:
    return hashlib.sha256(b"session\0" + secret.encode()).digest()


def _code_digest(code_sha256: str) -> bytes:
    return hashlib.sha256(b"code\0" + code_sha256.lower().encode()).digest()


def _name(digest: bytes) -> str:
    return f"session:{digest.hex()[:12]}"
