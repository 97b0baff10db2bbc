"""Back-ups that were made here: which there are, and which keys they need."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from state.audit import record
from state.backup.manifest import Manifest
from state.database import Connection
from state.keyring import KeyRing


class Kept(NamedTuple):
    """A back-up that may still be restored: nobody has called it gone."""

    made_at: datetime
    """Of its snapshot."""
    file: str
    key_ids: list[str]
    """As stored with its credentials."""


async def note_backup(
    connection: Connection,
    manifest: Manifest,
    *,
    file: str,
    size_bytes: int,
    actor: str,
    action: str = "backup.make",
) -> None:
    """Remember a back-up that is there: it was made, or restored. In a transaction.

    Another one under that name was overwritten.
    """
    await connection.execute(
        "UPDATE backup SET gone_at = clock_timestamp() WHERE file = $1 AND gone_at IS NULL", file
    )
    await connection.execute(
        "INSERT INTO backup (made_at, file, size_bytes, key_ids) VALUES ($1, $2, $3, $4)",
        manifest.snapshot_at,
        file,
        size_bytes,
        sorted(manifest.keys),
    )
    await record(
        connection,
        actor=actor,
        action=action,
        subject=file,
        detail={"made_at": manifest.made_at, "bytes": size_bytes},
    )


async def kept_backups(connection: Connection) -> list[Kept]:
    """Return those that are kept, the oldest first."""
    rows = await connection.fetch(
        "SELECT made_at, file, key_ids FROM backup WHERE gone_at IS NULL ORDER BY made_at"
    )
    return [Kept(*row) for row in rows]


def needs(backup: Kept, ring: KeyRing, key_id: str) -> bool:
    """Say whether credentials of a back-up open with that key of the ring alone."""
    return any(ring.named(name) == key_id for name in backup.key_ids)


async def call_gone(connection: Connection, backups: Sequence[Kept]) -> None:
    """Believe that nobody keeps these back-ups any more. Safe to run twice."""
    await connection.execute(
        "UPDATE backup SET gone_at = clock_timestamp()"
        " WHERE gone_at IS NULL AND file = ANY ($1::text[])",
        [one.file for one in backups],
    )
