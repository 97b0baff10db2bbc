"""Which keys the stored credentials need, and sealing them anew with another one. As the engine."""

import zlib
from collections.abc import AsyncIterator, Iterable
from typing import NamedTuple
from uuid import UUID

from state.audit import record
from state.database import Connection
from state.errors import CredentialSealed
from state.keyring import KeyRing, Sealed
from state.shops import INSTALLATION

ALERT = "sealed"
START = UUID(int=0)


class KeyUse(NamedTuple):
    """How many credentials one key sealed, and whose they are."""

    key_id: str
    """As stored with them."""
    credentials: int
    shops: list[str]
    """Names; the installation's own are no shop's."""


class Batch(NamedTuple):
    """What became of some credentials."""

    resealed: int
    refused: list[tuple[UUID, str]]
    """Those that do not open, and why."""
    last: UUID | None
    """Go on after this one; None: there are no more."""


async def key_uses(connection: Connection) -> list[KeyUse]:
    """Return every key that sealed something, by its id."""
    rows = await connection.fetch(
        "SELECT c.key_id, count(*)::int, coalesce(array_agg(DISTINCT s.name)"
        " FILTER (WHERE c.tenant > 0), '{}') FROM credential c LEFT JOIN shop s USING (tenant)"
        " WHERE c.state <> 'revoked' GROUP BY c.key_id ORDER BY c.key_id"
    )
    return [KeyUse(*row) for row in rows]


async def note_sealed(connection: Connection, ring: KeyRing) -> list[KeyUse]:
    """Mark what this ring does not open as sealed, and what it opens again as well.

    In a transaction. Returns the keys that are missing, of each of which people are told once,
    until it is back. Safe to run twice.
    """
    uses = await key_uses(connection)
    known = [use.key_id for use in uses if ring.knows(use.key_id)]
    missing = [use for use in uses if use.key_id not in known]
    await connection.execute(
        "UPDATE credential SET state = CASE WHEN key_id = ANY ($1) THEN 'ok' ELSE 'sealed' END"
        " WHERE state <> 'revoked' AND (state = 'ok') <> (key_id = ANY ($1))",
        known,
    )
    await connection.execute(
        "UPDATE alert SET resolved_at = clock_timestamp(), resolved_by = 'key'"
        " WHERE kind = $1 AND resolved_at IS NULL AND subject <> ALL ($2::bigint[])",
        ALERT,
        [_subject(use.key_id) for use in missing],
    )
    for use in missing:
        await connection.execute(
            "INSERT INTO alert (tenant, kind, subject, message) VALUES ($1, $2, $3, $4)"
            " ON CONFLICT (kind, subject) WHERE resolved_at IS NULL DO NOTHING",
            INSTALLATION,
            ALERT,
            _subject(use.key_id),
            told(use),
        )
    return missing


def told(use: KeyUse) -> str:
    """Return what people read of a key that is missing."""
    credentials = "1 credential" if use.credentials == 1 else f"{use.credentials} credentials"
    whose = f" ({', '.join(use.shops)})" if use.shops else ""
    return (
        f"{credentials}{whose} sealed with key {use.key_id!r}, which is not in ENCRYPTION_KEY."
        " Put that key back into the ring, or enter the secrets again: nexus channels add,"
        " nexus apps add. What needs them waits until then."
    )


async def count_old(connection: Connection, ring: KeyRing) -> int:
    """Return how many credentials another key of the ring sealed than the first one."""
    return sum(use.credentials for use in await key_uses(connection) if _old(ring, use.key_id))


async def reseal(connection: Connection, ring: KeyRing, after: UUID, most: int) -> Batch:
    """Seal some credentials anew with the first key of the ring, in one commit.

    Readers are not disturbed: they see the old row or the new one, and either opens. A credential
    that was changed meanwhile is left to the one who changed it. Safe to run twice: what has the
    first key is not looked at.

    Args:
        connection: in a transaction.
        ring: with both keys.
        after: the id to go on after; `START` to begin.
        most: how many at once.
    """
    old = [use.key_id for use in await key_uses(connection) if _old(ring, use.key_id)]
    rows = await connection.fetch(
        "SELECT credential_id, tenant, purpose, version, key_id, ciphertext FROM credential"
        " WHERE state <> 'revoked' AND key_id = ANY ($1) AND credential_id > $2"
        " ORDER BY credential_id LIMIT $3",
        old,
        after,
        most,
    )
    ids: list[UUID] = []
    before: list[bytes] = []
    anew: list[bytes] = []
    refused: list[tuple[UUID, str]] = []
    for row in rows:
        whose = Sealed(row["tenant"], row["purpose"], row["credential_id"], row["version"])
        try:
            secret = ring.open(whose, row["key_id"], row["ciphertext"])
        except CredentialSealed as error:
            refused.append((row["credential_id"], str(error)))
            continue
        sealed = ring.seal(whose, secret)
        if ring.open(whose, ring.first, sealed) != secret:
            raise AssertionError("a credential did not come back as it was")  # nothing is stored
        ids.append(row["credential_id"])
        before.append(row["ciphertext"])
        anew.append(sealed)
    changed = await connection.fetchval(
        "WITH changed AS (UPDATE credential c SET key_id = $1, ciphertext = u.anew"
        " FROM unnest($2::uuid[], $3::bytea[], $4::bytea[]) u (id, before, anew)"
        " WHERE c.credential_id = u.id AND c.ciphertext = u.before RETURNING 1)"
        " SELECT count(*)::int FROM changed",
        ring.first,
        ids,
        before,
        anew,
    )
    return Batch(changed, refused, rows[-1]["credential_id"] if rows else None)


async def unopened(connection: Connection, ring: KeyRing) -> AsyncIterator[tuple[UUID, str | None]]:
    """Try every credential: its id, and why it does not open (None: it does).

    In a transaction, on a connection that does nothing else meanwhile.
    """
    async for row in connection.cursor(
        "SELECT credential_id, tenant, purpose, version, key_id, ciphertext FROM credential"
        " WHERE state <> 'revoked' ORDER BY credential_id",
        prefetch=500,
    ):
        whose = Sealed(row["tenant"], row["purpose"], row["credential_id"], row["version"])
        try:
            ring.open(whose, row["key_id"], row["ciphertext"])
        except CredentialSealed as error:
            yield row["credential_id"], str(error)
        else:
            yield row["credential_id"], None


async def note_misplaced(connection: Connection, whose: Sealed, actor: str) -> None:
    """Write into the audit log that a credential stands where it was not made. In a transaction."""
    await record(
        connection,
        actor=actor,
        action="credential.misplaced",
        subject=str(whose.id),
        tenant=whose.tenant,
        detail={"purpose": whose.purpose, "version": whose.version},
    )


def needing(uses: Iterable[KeyUse], ring: KeyRing, key_id: str) -> int:
    """Return how many credentials can be opened by that key alone."""
    return sum(use.credentials for use in uses if ring.named(use.key_id) == key_id)


def _old(ring: KeyRing, key_id: str) -> bool:
    return ring.named(key_id) not in (None, ring.first)


def _subject(key_id: str) -> int:
    return zlib.crc32(key_id.encode())
