"""A header of a request, read without making an object of all of them."""

from starlette.types import Scope


def header(scope: Scope, name: bytes) -> bytes:
    """Return a header's first value as it came; empty: it is not there.

    Args:
        scope: of the request.
        name: in lower case, as servers hand it over.
    """
    for each, value in scope["headers"]:
        if each == name:
            return bytes(value)
    return b""
