"""A lane's number: a 64-bit hash of its namespace and key.

One integer instead of a text index, and a lock order that everybody knows without asking. Two
keys of one shop that hash alike share a line: slower, never wrong. The shop is part of the
primary key, so shops cannot collide.
"""

from functools import lru_cache
from hashlib import blake2b


@lru_cache(maxsize=4096)  # keys come again: those of a shop's senders above all
def lane_number(namespace: str, key: str) -> int:
    """Return the lane's number, from -2^63 to 2^63 - 1."""
    text = f"{namespace}\0{key}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), signed=True)
