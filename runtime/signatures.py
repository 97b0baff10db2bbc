"""How providers sign what they post: pure functions over the raw bytes, by the name of a scheme.

A function names its scheme in `Webhook(path, signature=…)`; the gateway applies it before anything
else happens. Comparisons take the same time whatever differs.
"""

import hmac
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

SENDERS = 64
"""Lanes per registration: few enough to stay, many enough to work side by side."""

FIRST_PERSON = re.compile(
    rb'"(?:from|from_user_id|recipient_id|recipient_user_id|to)"\s*:\s*"([^"\\]{1,160})"'
)


@dataclass(frozen=True)
class Scheme:
    """One provider's way."""

    header: bytes
    """Lower case; where the signature is."""
    sign: Callable[[bytes, str], str]
    """Return the header's value for a body and a secret."""
    person: re.Pattern[bytes] | None = None
    """Finds whom a body is about. None: nobody in particular."""
    challenge: bool = False
    """The address is verified by a GET with `hub.challenge` first."""

    def fits(self, given: bytes, body: bytes, secrets: Sequence[str]) -> bool:
        """Say whether one of the secrets (two while one is being replaced) signed this body.

        Args:
            given: the header's value.
            body: as it came.
            secrets: of the registration.
        """
        found = [hmac.compare_digest(given, self.sign(body, one).encode()) for one in secrets]
        return any(found)

    def sender(self, app: str, body: bytes) -> str | None:
        """Return a lane for deliveries about the same person: one of 64 per registration."""
        found = self.person.search(body) if self.person else None
        return f"{app}:{zlib.crc32(found[1]) % SENDERS}" if found else None


def _hex(body: bytes, secret: str) -> str:
    return hmac.digest(secret.encode(), body, "sha256").hex()  # without an object


SCHEMES: Mapping[str, Scheme] = {
    # WhatsApp Cloud API, "Create a webhook endpoint": HMAC with the app secret
    "meta": Scheme(
        b"x-hub-signature-256",
        lambda body, secret: f"sha256={_hex(body, secret)}",
        FIRST_PERSON,
        challenge=True,
    ),
    # Tiendanube, "Webhook": HMAC with the app's client secret
    "tiendanube": Scheme(b"x-linkedstore-hmac-sha256", _hex),
    # GitHub, "Validating webhook deliveries"
    "github": Scheme(b"x-hub-signature-256", lambda body, secret: f"sha256={_hex(body, secret)}"),
}
