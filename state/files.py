"""Files as they were given, kept whole: what was read from them can always be read again."""

from typing import NamedTuple

from state.database import Connection

LIMIT_BYTES = 20_000_000


class StoredFile(NamedTuple):
    """A file; `repr` does not show what is in it."""

    file_id: int
    name: str
    media_type: str
    body: bytes

    def __repr__(self) -> str:
        """Show the name alone."""
        return f"<file {self.file_id} {self.name!r}>"


async def put_file(
    connection: Connection, tenant: int, name: str, media_type: str, body: bytes
) -> int:
    """Store a file and return its id.

    Raises:
        ValueError: it is too large.
    """
    if len(body) > LIMIT_BYTES:
        raise ValueError(f"{name} has {len(body):,} bytes; the limit is {LIMIT_BYTES:,}")
    return int(
        await connection.fetchval(
            "INSERT INTO stored_file (tenant, name, media_type, body) VALUES ($1, $2, $3, $4)"
            " RETURNING file_id",
            tenant,
            name,
            media_type,
            body,
        )
    )


async def stored_file(connection: Connection, tenant: int, file_id: int) -> StoredFile | None:
    """Return a file; None: the shop has no such."""
    row = await connection.fetchrow(
        "SELECT file_id, name, media_type, body FROM stored_file"
        " WHERE tenant = $1 AND file_id = $2",
        tenant,
        file_id,
    )
    return StoredFile(*row) if row else None
