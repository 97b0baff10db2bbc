"""Files for the browser, under names that change with their content: kept by it for a year."""

import functools
import hashlib
import mimetypes
from pathlib import Path
from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

HERE = Path(__file__).parent / "static"
FOR_EVER = "public, max-age=31536000, immutable"
UNPUBLISHED = {".txt"}


class Asset(NamedTuple):
    """One file, in memory."""

    address: str
    content: bytes
    media_type: str


@functools.cache
def assets() -> dict[str, Asset]:
    """Return all files by their plain name."""
    found = {}
    for path in sorted(HERE.iterdir()):
        if path.suffix in UNPUBLISHED or not path.is_file():
            continue
        content = path.read_bytes()
        mark = hashlib.sha256(content).hexdigest()[:10]
        media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        found[path.name] = Asset(f"/static/{path.stem}.{mark}{path.suffix}", content, media_type)
    return found


def asset(name: str) -> str:
    """Return the address of a file."""
    return assets()[name].address


async def serve_asset(request: Request) -> Response:
    """Return a file. Under a name of another version: the file as it is now, not kept."""
    stem, _, rest = request.path_params["name"].partition(".")
    mark, _, suffix = rest.rpartition(".")
    found = assets().get(f"{stem}.{suffix}")
    if found is None or not mark:
        raise HTTPException(404)
    current = found.address == request.url.path
    headers = {"Cache-Control": FOR_EVER if current else "no-cache"}
    return Response(found.content, headers=headers, media_type=found.media_type)


routes = [Route("/static/{name}", serve_asset, methods=["GET"])]
