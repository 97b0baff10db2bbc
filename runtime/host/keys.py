"""Secrets of a local installation: made once, kept in files that only their owner reads."""

import base64
import os
import secrets

from runtime.host.layout import Layout, write_whole


def kept(layout: Layout, name: str) -> str:
    """Return a secret of this installation; make it when it is not there yet."""
    path = layout.folder("secrets") / name
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        write_whole(path, made(name) + "\n")
        return path.read_text(encoding="utf-8").strip()


def made(name: str) -> str:
    """Make a new secret: 256 bits, in the form its reader expects."""
    if name == "encryption_key":  # a Fernet key
        return base64.urlsafe_b64encode(os.urandom(32)).decode()
    return secrets.token_urlsafe(32)
