"""Secrets of shops and of the installation, sealed (`state/keyring.py`), by purpose and name."""

from uuid import UUID, uuid4

from state.database import Connection
from state.errors import DatabaseUnfit
from state.keyring import KeyRing, Sealed, SealedSecret


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
    stored = await stored_credential(connection, tenant=tenant, purpose=purpose, name=name)
    return None if stored is None else ring.open(stored.whose, stored.key_id, stored.ciphertext)


async def stored_credential(
    connection: Connection, *, tenant: int, purpose: str, name: str
) -> SealedSecret | None:
    """Return a secret as it is stored; None: there is none."""
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
    return SealedSecret(whose, row["key_id"], row["ciphertext"])
