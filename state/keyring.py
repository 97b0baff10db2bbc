"""The keys of ENCRYPTION_KEY, and what they seal.

One key, or a ring `kid:key,kid:key` of which the first seals and all open. What is sealed names
whose it is (tenant, purpose, id, version), so a row copied to another shop, or put back from an
older dump, does not open. It is padded, so its length tells little. There is no way back to plain
text: a secret whose key is missing is sealed until the key returns.
"""

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from cryptography.fernet import Fernet, InvalidToken

from state.errors import CredentialMisplaced, CredentialSealed

PAD_BYTES = 256
LEAST_DISTINCT_BYTES = 12
"""A key with fewer different bytes was typed, not drawn; of 32 drawn ones about 30 differ."""
KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")


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

    def __init__(self, keys: dict[str, Fernet], aliases: dict[str, Fernet]) -> None:
        self._keys = keys
        self._opening = {**aliases, **keys}
        self.first = next(iter(keys))
        """The id of the key that seals."""

    @classmethod
    def parse(cls, text: str) -> "KeyRing":
        """Read the variable.

        A key without an id has one made from its hash; under that one it is found again too when
        it moves into a ring under another name.

        Raises:
            ValueError: says which entry is wrong, and how; the key itself is not repeated.
        """
        keys: dict[str, Fernet] = {}
        aliases: dict[str, Fernet] = {}
        for place, entry in enumerate(filter(None, (part.strip() for part in text.split(","))), 1):
            kid, colon, key = entry.rpartition(":")
            fernet, made = _fernet(place, key), key_id(key)
            kid = kid if colon else made
            if not KEY_ID.fullmatch(kid):
                raise ValueError(
                    f"ENCRYPTION_KEY: the id of entry {place} may hold letters, digits, - and _"
                )
            if kid in keys:
                raise ValueError(f"ENCRYPTION_KEY: entry {place} repeats the id {kid!r}")
            if made in aliases:
                raise ValueError(f"ENCRYPTION_KEY: entry {place} repeats the key of another one")
            keys[kid] = aliases[made] = fernet
        if not keys:
            raise ValueError("ENCRYPTION_KEY is empty; make a key with: nexus keys new")
        return cls(keys, aliases)

    def ids(self) -> list[str]:
        """Return the ids of the keys in their order, without the ones made from hashes."""
        return list(self._keys)

    def knows(self, kid: str) -> bool:
        """Say whether what was sealed under that id can be opened."""
        return kid in self._opening

    def named(self, kid: str) -> str | None:
        """Return the id that the ring gives the key of an id, given or made; None: it has none."""
        key = self._opening.get(kid)
        return next((name for name, one in self._keys.items() if one is key), None)

    def seal(self, whose: Sealed, secret: str) -> bytes:
        """Return the ciphertext."""
        text = json.dumps([whose.tenant, whose.purpose, str(whose.id), whose.version, secret])
        raw = text.encode()
        return self._keys[self.first].encrypt(raw + b" " * (-len(raw) % PAD_BYTES))

    def open(self, whose: Sealed, kid: str, ciphertext: bytes) -> str:
        """Return the secret.

        Raises:
            CredentialSealed: its key is not in the ring, or it was changed.
            CredentialMisplaced: it was made for another row, or for an earlier version of it.
        """
        key = self._opening.get(kid)
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
            raise CredentialMisplaced(
                f"The {whose.purpose} credential belongs to another row. Enter the secret again."
            )
        return str(secret)


def without(text: str, kid: str) -> str:
    """Return the variable's text without the entry of that id."""
    entries = [part.strip() for part in text.split(",")]
    return ",".join(
        entry for entry in entries if entry and (entry.rpartition(":")[0] or key_id(entry)) != kid
    )


def new_key() -> str:
    """Return a new entry for a ring: `kid:key`."""
    key = Fernet.generate_key().decode()
    return f"{key_id(key)}:{key}"


def key_id(key: str) -> str:
    """Return the id of a key that was given without one."""
    return "k" + hashlib.sha256(key.encode()).hexdigest()[:8]


def _fernet(place: int, key: str) -> Fernet:
    try:
        made = Fernet(key)
    except ValueError:
        raise ValueError(
            f"ENCRYPTION_KEY: entry {place} is not a Fernet key (32 bytes, url-safe base64);"
            " make one with: nexus keys new"
        ) from None
    if len(set(_raw(key))) < LEAST_DISTINCT_BYTES:
        raise ValueError(
            f"ENCRYPTION_KEY: entry {place} is an example, not a key; make one with: nexus keys new"
        )
    return made


def _raw(key: str) -> bytes:
    return base64.urlsafe_b64decode(key)
