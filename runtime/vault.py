"""The credentials of a process: read as late as possible, opened, never kept."""

import asyncio
from functools import cached_property

from runtime.keys import ring_of
from runtime.logs import Log
from runtime.settings import Settings
from state.credentials import stored_credential
from state.database import Database
from state.errors import CredentialMisplaced, StateFault
from state.keyring import KeyRing, Sealed, SealedSecret
from state.keys import note_misplaced

log = Log("vault")

ACTOR = "worker"


class Vault:
    """Opens credentials, and tells when one stands where it was not made."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._noted: set[Sealed] = set()
        self._noting: set[asyncio.Task[None]] = set()

    @cached_property
    def ring(self) -> KeyRing:
        """The keys that open credentials.

        Raises:
            ConfigurationError: ENCRYPTION_KEY is missing or malformed.
        """
        return ring_of(self._settings)

    async def get(self, tenant: int, purpose: str, name: str) -> str | None:
        """Return a secret; None: there is none.

        Raises:
            CredentialSealed: it is there, and does not open; the message says what to do.
        """
        async with self._database.engine() as connection:
            stored = await stored_credential(connection, tenant=tenant, purpose=purpose, name=name)
        return None if stored is None else self.open(stored)

    def open(self, sealed: SealedSecret) -> str:
        """Open a secret.

        Raises:
            CredentialSealed: its key is not there, or it was changed.
        """
        try:
            return self.ring.open(sealed.whose, sealed.key_id, sealed.ciphertext)
        except CredentialMisplaced:
            if sealed.whose not in self._noted:
                self._noted.add(sealed.whose)
                task = asyncio.create_task(self._note(sealed.whose))
                self._noting.add(task)
                task.add_done_callback(self._noting.discard)
            raise

    async def _note(self, whose: Sealed) -> None:
        log.error("a credential stands where it was not made", credential=str(whose.id))
        try:
            async with self._database.engine() as connection, connection.transaction():
                await note_misplaced(connection, whose, ACTOR)
        except StateFault:
            self._noted.discard(whose)  # said again when it is tried again
