"""Secrets of shops and of the installation, sealed with Fernet.

ENCRYPTION_KEY holds one key, or a ring `kid:key,kid:key` of which the first seals and all open.
What is sealed names whose it is (tenant, purpose, id, version), so a row copied to another shop
or put back from an older dump does not open. It is padded, so its length tells little. There is
no way back to plain text: a secret whose key is missing is sealed until the key returns.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID, uuid4

from cryptography.fernet import Fernet, InvalidToken

from state.database import Connection
from state.errors import CredentialSealed, DatabaseUnfit

PAD_BYTES = 64


@dataclass(frozen=True)
class Sealed:
    """Whose secret this is."""

    tenant: int
    purpose: str
    id: UUID
    version: int


class SealedSecret(NamedTuple):
    """A secret as it is stored, read together with something else."""

    whose: Sealed
    key_id: str
    ciphertext: bytes


class KeyRing:
    """The keys of ENCRYPTION_KEY, by their ids."""

    def __init__(self, keys: dict[str, Fernet]) -> None:
        self._keys = keys
        self.first = next(iter(keys))
        """The id of the key that seals."""

    @classmethod
    def parse(cls, text: str) -> "KeyRing":
        """Read the variable.

        A key without an id gets one made from its hash, so that it is found again when it moves
        into a ring.

        Raises:
            ValueError: says which entry is no key; the key itself is not repeated.
        """
        keys: dict[str, Fernet] = {}
        for place, entry in enumerate(filter(None, (part.strip() for part in text.split(","))), 1):
            kid, colon, key = entry.rpartition(":")
            try:
                fernet = Fernet(key)
            except ValueError:
                raise ValueError(
                    f"ENCRYPTION_KEY: entry {place} is not a Fernet key (32 bytes, url-safe base64)"
                ) from None
            keys[kid if colon else key_id(key)] = fernet
        if not keys:
            raise ValueError("ENCRYPTION_KEY is empty")
        return cls(keys)

    def seal(self, whose: Sealed, secret: str) -> bytes:
        """Return the ciphertext."""
        text = json.dumps([whose.tenant, whose.purpose, str(whose.id), whose.version, secret])
        raw = text.encode()
        return self._keys[self.first].encrypt(raw + b" " * (-len(raw) % PAD_BYTES))

    def open(self, whose: Sealed, kid: str, ciphertext: bytes) -> str:
        """Return the secret.

        Raises:
            CredentialSealed: its key is not in the ring, or the row is not what it says it is.
        """
        key = self._keys.get(kid)
        if key is None:
            raise CredentialSealed(
                f"The {whose.purpose} credential is sealed with key {kid!r}, which is not in"
                " ENCRYPTION_KEY. Put that key back into the ring, or enter the secret again."
            )
        try:
            tenant, purpose, identity, version, secret = json.loads(key.decrypt(ciphertext))
        except InvalidToken:
            raise CredentialSealed(
                f"The {whose.purpose} credential does not open with key {kid!r}: the row was"
                " changed, or another key has that name. Enter the secret again."
            ) from None
        if Sealed(tenant, purpose, UUID(identity), version) != whose:
            raise CredentialSealed(
                f"The {whose.purpose} credential belongs to another row. Enter the secret again."
            )
        return str(secret)


def key_id(key: str) -> str:
    """Return the id of a key that was given without one."""
    return "k" + hashlib.sha256(key.encode()).hexdigest()[:8]


async def put_credential(
    connection: Connection, ring: KeyRing, *, tenant: int, purpose: str, name: str, secret: str
) -> UUID:
    """Store a secret under (tenant, purpose, name), in place of an earlier one.

    Args:
        connection: bound to that shop (`Database.tenant`), in a transaction.
        ring: the keys.
        tenant: whose.
        purpose: what for, e.g. `webhook` or `whatsapp`.
        name: which of them.
        secret: the text.
    """
    row = await connection.fetchrow(
        "SELECT credential_id, version FROM credential"
        " WHERE tenant = $1 AND purpose = $2 AND name = $3 FOR UPDATE",
        tenant,
        purpose,
        name,
    )
    whose = Sealed(
        tenant,
        purpose,
        row["credential_id"] if row else uuid4(),
        row["version"] + 1 if row else 1,
    )
    stored = await connection.fetchval(
        "INSERT INTO credential AS c (credential_id, tenant, purpose, name, key_id, ciphertext,"
        " version) VALUES ($1, $2, $3, $4, $5, $6, $7)"
        " ON CONFLICT (tenant, purpose, name) DO UPDATE SET key_id = excluded.key_id,"
        " ciphertext = excluded.ciphertext, version = excluded.version, state = 'ok',"
        " updated_at = clock_timestamp()"
        " WHERE c.credential_id = excluded.credential_id AND c.version = excluded.version - 1"
        " RETURNING credential_id",
        whose.id,
        tenant,
        purpose,
        name,
        ring.first,
        ring.seal(whose, secret),
        whose.version,
    )
    if stored is None:
        raise DatabaseUnfit(f"the {purpose} credential {name!r} was just changed elsewhere; repeat")
    return whose.id


async def get_credential(
    connection: Connection, ring: KeyRing, *, tenant: int, purpose: str, name: str
) -> str | None:
    """Return a secret; None: there is none.

    Raises:
        CredentialSealed: it is there, and does not open.
    """
    row = await connection.fetchrow(
        "SELECT credential_id, key_id, ciphertext, version FROM credential"
        " WHERE tenant = $1 AND purpose = $2 AND name = $3 AND state <> 'revoked'",
        tenant,
        purpose,
        name,
    )
    if row is None:
        return None
    whose = Sealed(tenant, purpose, row["credential_id"], row["version"])
    return ring.open(whose, row["key_id"], row["ciphertext"])
