"""A small HTTP client: one connection, one request at a time, as cheap as Python allows."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    body: bytes

    def json(self) -> Any:
        """Return the body as data."""
        return json.loads(self.body)


class Client:
    """Posts to one address; a broken connection is opened again for the next request."""

    def __init__(self, address: str, token: str | None = None) -> None:
        """Create it; with a `token`, it is sent as a bearer."""
        parts = urlsplit(address)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        bearer = f"Authorization: Bearer {token}\r\n" if token else ""
        self._head = (
            f"Host: {self._host}:{self._port}\r\n{bearer}Content-Type: application/json\r\n"
        )
        self.sent_again = 0
        """Requests that met a connection just as it was closed, and went out once more."""
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, path: str, data: Any, *headers: str) -> Answer:
        """Post JSON and return the answer.

        Raises:
            OSError: the connection broke; the request may or may not have been taken.
        """
        return await self.post_bytes(path, json.dumps(data).encode(), *headers)

    async def post_bytes(self, path: str, body: bytes, *headers: str) -> Answer:
        """Post a body as it is; else as `post`."""
        more = "".join(f"{header}\r\n" for header in headers)
        head = f"POST {path} HTTP/1.1\r\n{self._head}{more}Content-Length: {len(body)}\r\n\r\n"
        if self._reader is not None and self._reader.at_eof():
            self.close()  # the other side has closed it while nobody asked for anything
        again = self._writer is not None and "Idempotency-Key:" in more
        try:
            try:
                return await self._ask(head.encode() + body)
            except (ConnectionError, asyncio.IncompleteReadError) as error:
                # RFC 9112, 9.3.1: an idle connection may be closed just as a request goes out. As
                # other clients do, one with a key is sent once more if no answer has begun.
                begun = isinstance(error, asyncio.IncompleteReadError) and error.partial
                if begun or not again:
                    raise
                self.sent_again += 1
                self.close()
                return await self._ask(head.encode() + body)
        except (OSError, EOFError, ValueError, asyncio.CancelledError) as error:
            self.close()
            if isinstance(error, asyncio.CancelledError):
                raise
            raise OSError(str(error)) from error

    async def _ask(self, request: bytes) -> Answer:
        if self._writer is None or self._reader is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        self._writer.write(request)
        return await self._read(self._reader)

    def close(self) -> None:
        """Forget the connection."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def _read(self, reader: asyncio.StreamReader) -> Answer:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(head.split(" ", 2)[1])
        fields = dict(
            (name.lower(), value.strip())
            for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])
        )
        if fields.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await reader.readuntil(b"\r\n"), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
        else:
            body = await reader.readexactly(int(fields.get("content-length", 0)))
        if fields.get("connection") == "close":
            self.close()
        return Answer(status, body)
