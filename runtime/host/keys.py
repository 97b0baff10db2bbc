"""Secrets of a local installation: made once, kept in files that only their owner reads."""

import base64
import os
import secrets

from runtime.host.layout import Layout, write_whole


def kept(layout: Layout, name: str) -> str:
    """Return a secret of this installation; make it when it is not there yet."""
    found = kept_here(layout, name)
    if found is None:
        keep(layout, name, made(name))
        return kept(layout, name)
    return found


def kept_here(layout: Layout, name: str) -> str | None:
    """Return a secret of this installation; None: it was never made here."""
    try:
        return (layout.folder("secrets") / name).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None


def keep(layout: Layout, name: str, secret: str) -> None:
    """Replace a secret of this installation; who runs keeps the one it started with."""
    write_whole(layout.folder("secrets") / name, secret + "\n")


def made(name: str) -> str:
    """Make a new secret: 256 bits, in the form its reader expects."""
    if name == "encryption_key":  # a Fernet key
        return base64.urlsafe_b64encode(os.urandom(32)).decode()
    return secrets.token_urlsafe(32)
