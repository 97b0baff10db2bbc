"""App registrations: an app with a provider, whose webhooks come in at an address of their own."""

from typing import NamedTuple

from state.credentials import get_credential
from state.database import Connection
from state.errors import CredentialSealed
from state.keyring import KeyRing
from state.shops import INSTALLATION

SECRET, VERIFY = "webhook", "verify"
"""Purposes of its credentials: what it signs with, and what it shows when it is set up."""


class App(NamedTuple):
    """One registration."""

    app_id: int
    name: str
    """The word in its webhook's address."""
    provider: str
    """The path of its Webhook trigger, e.g. `whatsapp`."""


class OpenedApp(NamedTuple):
    """A registration with its secrets; `repr` does not show them."""

    app: App
    secrets: tuple[str, ...]
    """Each may have signed; the newest first."""
    verify: str | None
    sealed: str | None
    """Why its secrets do not open, and what to do; None: they do."""

    def __repr__(self) -> str:
        """Show the name alone."""
        return f"<app {self.app.name}>"


async def apps(connection: Connection) -> list[App]:
    """Return every registration, by name. As engine."""
    rows = await connection.fetch("SELECT app_id, name, provider FROM app ORDER BY name")
    return [App(*row) for row in rows]


async def opened_apps(connection: Connection, ring: KeyRing | None) -> list[OpenedApp]:
    """Return every registration with its secrets. As engine.

    Without a `ring` all are sealed. The secret may hold two, separated by a comma: the new one,
    and the one it replaces.
    """
    found = []
    for app in await apps(connection):
        if ring is None:
            found.append(OpenedApp(app, (), None, "ENCRYPTION_KEY is not set"))
            continue
        try:
            secret = await _secret(connection, ring, SECRET, app.name)
            verify = await _secret(connection, ring, VERIFY, app.name)
        except CredentialSealed as sealed:
            found.append(OpenedApp(app, (), None, str(sealed)))
        else:
            parts = tuple(filter(None, (part.strip() for part in (secret or "").split(","))))
            found.append(OpenedApp(app, parts, verify, None))
    return found


async def add_app(connection: Connection, name: str, *, provider: str) -> App:
    """Return the registration of that name, made if there was none. As engine; safe to run twice.

    Raises:
        LookupError: it is there, with another provider.
    """
    await connection.execute(
        "INSERT INTO app (name, provider) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
        name,
        provider,
    )
    row = await connection.fetchrow("SELECT app_id, name, provider FROM app WHERE name = $1", name)
    app = App(*row)
    if app.provider != provider:
        raise LookupError(f"{name!r} is registered with {app.provider}")
    await note_app(connection, app.app_id)
    return app


async def remove_app(connection: Connection, name: str) -> bool:
    """Forget a registration and its secrets. As engine. False: there was none; safe to run twice.

    Its deliveries stay; what comes in at its address afterwards is refused.
    """
    await connection.execute(
        "DELETE FROM credential WHERE tenant = $1 AND name = $2 AND purpose = ANY ($3::text[])",
        INSTALLATION,
        name,
        [SECRET, VERIFY],
    )
    app_id = await connection.fetchval("DELETE FROM app WHERE name = $1 RETURNING app_id", name)
    if app_id is None:
        return False
    await note_app(connection, app_id)
    return True


async def note_app(connection: Connection, app_id: int) -> None:
    """Tell gateways to read this registration again. To be called when its secrets change."""
    await connection.execute(
        "INSERT INTO change (tenant, topic, ids) VALUES ($1, 'app', ARRAY[$2::bigint])",
        INSTALLATION,
        app_id,
    )


async def _secret(connection: Connection, ring: KeyRing, purpose: str, name: str) -> str | None:
    return await get_credential(connection, ring, tenant=INSTALLATION, purpose=purpose, name=name)
