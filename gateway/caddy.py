"""Caddy's admin API: read a part of its configuration, and replace it if nobody else has.

Over TCP by caddy-api-client, of which we use the one method that sends a request: its methods for
domains read and write the whole configuration without looking whether somebody else wrote
meanwhile, open every path, and turn a plain listener into HTTPS (docs/dependencies.md). Over a
unix socket, our default, by httpx2: what caddy-api-client builds upon cannot speak to one.
"""

import asyncio
import json
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import getproxies, proxy_bypass

import httpx2

from runtime.host.ports import PATH_LIMIT_BYTES, SOCKET_FILE

NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""A socket of this machine has no TLS, and reading all authorities each second costs 20 ms."""
ANSWER_SECONDS = 10.0  # as caddy-api-client has it; a change waits until it is in force
CHANGED = 412


class EdgeFault(Exception):
    """Something went wrong between us and Caddy.

    EdgeFault
      EdgeAway       its admin API does not answer
      EdgeMoved      somebody else changed the configuration since it was read
      EdgeRefused    it does not want what we ask, or its configuration is not ours
    """


class EdgeAway(EdgeFault):
    """Caddy's admin API does not answer."""


class EdgeMoved(EdgeFault):
    """Somebody else changed the configuration since it was read: nothing was done."""


class EdgeRefused(EdgeFault):
    """Caddy does not want what we ask, or its configuration is not ours."""


class Answer(NamedTuple):
    """What Caddy said."""

    status: int
    tag: str
    """Names this state of what was read; empty: it has none."""
    body: bytes


class Admin:
    """The admin API at an address: `unix/PATH` or host:port."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def tag(self, path: str) -> str:
        """Return what names the present state of a part.

        The part itself comes with it (Caddy knows no HEAD here) and is not parsed. Hanging up
        instead would have Caddy log an error each time.

        Raises:
            EdgeFault: as told there.
        """
        return (await self._asked("GET", path)).tag

    async def read(self, path: str) -> tuple[Any, str]:
        """Return a part of the configuration, and what names its state.

        Raises:
            EdgeFault: as told there.
        """
        answer = await self._asked("GET", path)
        try:
            return json.loads(answer.body), answer.tag
        except ValueError:
            raise EdgeRefused(f"{self.address} is not Caddy's admin API") from None

    async def replace(self, path: str, document: Any, tag: str) -> None:
        """Put a document in place of a part, if that is still in the state named `tag`.

        Raises:
            EdgeMoved: it is not; nothing was done.
            EdgeFault: as told there.
        """
        await self._asked("PATCH", path, document, tag)

    async def _asked(self, method: str, path: str, document: Any = None, tag: str = "") -> Answer:
        headers = {"If-Match": tag} if tag else {}
        if self.address.startswith(SOCKET_FILE):
            answer = await self._over_socket(method, path, document, headers)
        else:
            answer = await asyncio.to_thread(self._over_tcp, method, path, document, headers)
        if answer.status == CHANGED:
            raise EdgeMoved("Caddy's configuration was changed meanwhile")
        if answer.status >= 400:
            raise EdgeRefused(f"Caddy answers {answer.status}: {_said(answer.body)}")
        return answer

    async def _over_socket(
        self, method: str, path: str, document: Any, headers: dict[str, str]
    ) -> Answer:
        content = None if document is None else json.dumps(document)
        headers = {"Content-Type": "application/json", **headers}
        try:
            with _short(Path(self.address.removeprefix(SOCKET_FILE))) as socket:
                async with httpx2.AsyncClient(
                    transport=httpx2.AsyncHTTPTransport(uds=socket, verify=NO_AUTHORITIES),
                    base_url="http://localhost",
                    trust_env=False,
                    timeout=ANSWER_SECONDS,
                ) as client:
                    response = await client.request(method, path, content=content, headers=headers)
                    tag = response.headers.get("Etag", "")
                    return Answer(response.status_code, tag, response.content)
        except (httpx2.HTTPError, OSError) as error:
            raise EdgeAway(f"{self.address} does not answer ({type(error).__name__})") from error

    def _over_tcp(self, method: str, path: str, document: Any, headers: dict[str, str]) -> Answer:
        from caddy_api_client import CaddyAPIClient  # brings requests: 8 MB only where it is used

        host = self.address.rpartition(":")[0].strip("[]")
        if not host:
            raise EdgeAway(f"CADDY_ADMIN={self.address} names no address, as 127.0.0.1:2019 does")
        if {"http", "all"} & getproxies().keys() and not proxy_bypass(host):
            # It would follow HTTP_PROXY and show our configuration to a stranger.
            raise EdgeAway(f"HTTP_PROXY is set; add {host} to NO_PROXY")
        try:
            response = CaddyAPIClient(f"http://{self.address}")._make_request(
                method, path, document, headers
            )
        except Exception as error:  # it raises nothing more exact, and keeps the cause
            response = getattr(error.__context__, "response", None)
            if response is None:
                raise EdgeAway(f"{self.address} does not answer") from error
        return Answer(response.status_code, response.headers.get("Etag", ""), response.content)


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Give a path to a socket that is short enough to connect to.

    Raises:
        EdgeAway: there is none.
    """
    if len(os.fsencode(path)) <= PATH_LIMIT_BYTES:
        yield str(path)
        return
    if not Path("/proc/self/fd").exists():
        raise EdgeAway(f"{path} is too long for a socket; set a shorter NEXUS_STATE_DIR")
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _said(body: bytes) -> str:
    """Return the reason that Caddy gives."""
    try:
        return str(json.loads(body)["error"])[:300]
    except (ValueError, KeyError, TypeError):
        return "no reason given"
