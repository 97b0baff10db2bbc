"""Secrets that callers present: read from the settings once, compared in constant time."""

import hashlib
import hmac
from collections.abc import Iterable

from runtime.errors import ConfigurationError
from runtime.settings import Settings

LEAST_BYTES = 32
LEAST_ADMIN_BYTES = 16
LEAST_DISTINCT = 5
EXAMPLE = "replace-me"
"""What example files have in place of a secret begins with this."""


class Tokens:
    """A few secrets of which any is good: the new and the old one while rotating."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._digests = [_digest(secret) for secret in secrets]

    def fits(self, presented: str) -> str | None:
        """Return the fingerprint of the secret that was presented; None: it is none of ours.

        Every secret is compared, and digests instead of texts, so that time tells nothing.
        """
        digest = _digest(presented)
        found = None
        for one in self._digests:
            if hmac.compare_digest(one, digest):
                found = one
        return found.hex() if found else None

    @property
    def newest(self) -> str:
        """The fingerprint of the first secret."""
        return self._digests[0].hex()

    def fingerprints(self) -> frozenset[str]:
        """Return the fingerprints of all that are good now."""
        return frozenset(digest.hex() for digest in self._digests)


def internal_tokens(settings: Settings) -> Tokens:
    """Return the bearers of the private API.

    Raises:
        ConfigurationError: none is set, or one is too short to be a secret.
    """
    value = settings.internal_api_token
    secrets = _listed(value.get_secret_value() if value else "")
    if not secrets or any(len(secret.encode()) < LEAST_BYTES for secret in secrets):
        raise ConfigurationError(
            f"INTERNAL_API_TOKEN needs {LEAST_BYTES} bytes or more (each, in a list `new,old`);"
            " make one with: openssl rand -hex 32"
        )
    _refuse_examples("INTERNAL_API_TOKEN", secrets)
    return Tokens(secrets)


def admin_tokens(settings: Settings) -> Tokens:
    """Return what opens the pages.

    Raises:
        ConfigurationError: it is not set, or too short to be a secret.
    """
    value = settings.admin_token
    secret = value.get_secret_value() if value else ""
    if len(secret.encode()) < LEAST_ADMIN_BYTES:
        raise ConfigurationError(
            f"ADMIN_TOKEN needs {LEAST_ADMIN_BYTES} bytes or more;"
            " make one with: openssl rand -hex 32"
        )
    _refuse_examples("ADMIN_TOKEN", [secret])
    return Tokens([secret])


def _refuse_examples(name: str, secrets: list[str]) -> None:
    for secret in secrets:
        if secret.lower().startswith(EXAMPLE) or len(set(secret)) < LEAST_DISTINCT:
            raise ConfigurationError(
                f"{name} is an example that everybody knows; make one with: openssl rand -hex 32"
            )


def _listed(text: str) -> list[str]:
    return [part for part in (each.strip() for each in text.split(",")) if part]


def _digest(secret: str) -> bytes:
    return hashlib.sha256(b"nexus token\0" + secret.encode("utf-8", "surrogateescape")).digest()
