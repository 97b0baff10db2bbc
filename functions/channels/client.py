"""One HTTP client per event loop, kept open: a new connection costs three round trips.

It never repeats a request by itself. When a request fails, what the kernel still holds of it is
thrown away (RST instead of a lingering close), and a connection whose bytes are not confirmed for
too long is broken: a POST that was given up here must not arrive minutes later after all.
"""

import asyncio
import socket
import struct
from weakref import WeakKeyDictionary

import httpx2

CONNECT_SECONDS = 3.0
KEEP_SECONDS = 55.0
"""Idle connections; providers keep them for about a minute."""
CONNECTIONS = 100

_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx2.AsyncClient] = WeakKeyDictionary()


def client(timeout_seconds: float) -> httpx2.AsyncClient:
    """Return this loop's client, made on first use.

    Args:
        timeout_seconds: of one request in all; what the caller enforces, the kernel does too.
    """
    loop = asyncio.get_running_loop()
    found = _clients.get(loop)
    if found is None:
        limits = httpx2.Limits(
            max_connections=CONNECTIONS,
            max_keepalive_connections=CONNECTIONS,
            keepalive_expiry=KEEP_SECONDS,
        )
        transport = httpx2.AsyncHTTPTransport(
            retries=0,
            limits=limits,
            trust_env=False,
            socket_options=list(_socket_options(timeout_seconds)),
        )
        timeout = httpx2.Timeout(timeout_seconds, connect=min(CONNECT_SECONDS, timeout_seconds))
        found = _clients[loop] = httpx2.AsyncClient(
            transport=transport, timeout=timeout, follow_redirects=False, trust_env=False
        )
    return found


async def aclose() -> None:
    """Close this loop's client; the next use makes a new one."""
    found = _clients.pop(asyncio.get_running_loop(), None)
    if found is not None:
        await found.aclose()


def _socket_options(
    timeout_seconds: float,
) -> list[tuple[int, int, int] | tuple[int, int, bytes | bytearray]]:
    options: list[tuple[int, int, int] | tuple[int, int, bytes | bytearray]] = [
        (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    ]
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        unconfirmed = int(timeout_seconds * 1000)
        options.append((socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unconfirmed))
    return options
