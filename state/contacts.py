"""Contacts: shoppers, whatever ids they write under. All safe to run twice."""

from state.database import Connection


async def contact_of(
    connection: Connection, tenant: int, *, phone: str | None, bsuid: str | None
) -> int:
    """Return the contact with these ids (one of them at least), made if there is none."""
    return int(
        await connection.fetchval("SELECT contact_of($1, $2, $3, NULL)", tenant, phone, bsuid)
    )


async def add_aliases(
    connection: Connection,
    tenant: int,
    contact_id: int,
    *,
    phone: str | None,
    bsuid: str | None,
) -> None:
    """Somebody goes on under other ids: the provider told so, whoever had them before."""
    for kind, value in (("phone", phone), ("bsuid", bsuid)):
        if value is not None:
            await connection.execute(
                "INSERT INTO contact_alias (tenant, kind, value, contact_id)"
                " VALUES ($1, $2, $3, $4) ON CONFLICT (tenant, kind, value)"
                " DO UPDATE SET contact_id = excluded.contact_id, seen_at = clock_timestamp()",
                tenant,
                kind,
                value,
                contact_id,
            )


async def set_opted_out(
    connection: Connection, tenant: int, contact_id: int, opted_out: bool
) -> None:
    """Somebody wants no marketing, or wants it again."""
    await connection.execute(
        "UPDATE contact SET opted_out_at = CASE WHEN $3 THEN coalesce(opted_out_at,"
        " clock_timestamp()) END WHERE tenant = $1 AND contact_id = $2",
        tenant,
        contact_id,
        opted_out,
    )
