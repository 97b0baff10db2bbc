"""Load on an HTTP address: as many connections as told, each posting as soon as it is answered.

One request, made once; of an answer only its end is looked for. So the load costs little beside
what it measures, on the same machine.
"""

import asyncio
import time
from functools import partial
from typing import Any

PATIENCE_SECONDS = 10.0


class _Poster(asyncio.Protocol):
    """One connection."""

    def __init__(self, request: bytes, until: float) -> None:
        self._request, self._until = request, until
        self._buffer = b""
        self._transport: Any = None
        self.answered = 0
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport  # of uvloop, which is no asyncio.Transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self._end(RuntimeError(self._buffer[:200].decode(errors="replace")))
            return
        self._buffer = b""
        self.answered += 1
        if time.monotonic() < self._until:
            self._transport.write(self._request)
        else:
            self._end(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error or RuntimeError("the connection was closed"))

    def _end(self, error: Exception | None) -> None:
        if not self.over.done():
            self.over.set_exception(error) if error else self.over.set_result(None)
            self._transport.close()


def _itself(poster: _Poster) -> _Poster:
    return poster


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


async def post_for(
    port: int, path: str, body: bytes, headers: str, *, clients: int, seconds: float
) -> float:
    """Return how many posts per second are answered with 200.

    Args:
        port: on loopback.
        path: of the address.
        body: of every request.
        headers: more of them, each ended by CR LF.
        clients: connections.
        seconds: how long.

    Raises:
        RuntimeError: another answer; shows how it begins.
    """
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    request = f"{head}{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body
    loop = asyncio.get_running_loop()
    began = time.monotonic()
    posters = [_Poster(request, began + seconds) for _ in range(clients)]
    for poster in posters:
        await loop.create_connection(partial(_itself, poster), "127.0.0.1", port)
    async with asyncio.timeout(seconds + PATIENCE_SECONDS):
        await asyncio.gather(*[poster.over for poster in posters])
    return sum(poster.answered for poster in posters) / (time.monotonic() - began)
