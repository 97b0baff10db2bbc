"""The ring of keys of this process, and whether it opens what is stored."""

from runtime.errors import ConfigurationError
from runtime.logs import Log
from runtime.settings import Settings
from state.database import Database
from state.keyring import KeyRing
from state.keys import key_uses, note_sealed, told

log = Log("keys")


def ring_of(settings: Settings) -> KeyRing:
    """Return the keys that seal and open.

    Raises:
        ConfigurationError: ENCRYPTION_KEY is missing or malformed; the line says what to do.
    """
    key = settings.encryption_key
    try:
        return KeyRing.parse(key.get_secret_value() if key else "")
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


async def check_keys(settings: Settings, database: Database) -> None:
    """Compare the ring with what is stored: say which credentials it does not open.

    Raises:
        ConfigurationError: ENCRYPTION_KEY is malformed; or missing, and credentials are stored.
    """
    async with database.engine() as connection, connection.transaction():
        if settings.encryption_key is None and not await key_uses(connection):
            return
        for use in await note_sealed(connection, ring_of(settings)):
            log.error(told(use))
