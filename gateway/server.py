"""Serve the application with uvicorn, and stop without failing a request."""

import asyncio
import logging
import os
import socket

import uvicorn
from starlette.applications import Starlette

from gateway.app import create_app
from gateway.services import Services
from runtime.collector import spare_what_stays
from runtime.errors import ConfigurationError
from runtime.host.ports import PATH_LIMIT_BYTES, listening_at, socket_file
from runtime.line import dsn_of
from runtime.logs import Log, configure_logging
from runtime.registry import Registry
from runtime.settings import Settings

log = Log("gateway")

FINISH_SECONDS = 15
ANSWER_SECONDS = 12.0
"""Who still waits for a result then is told where to ask for it."""
IDLE_CLOSED_SECONDS = 2.5
"""Longer than Caddy keeps an idle connection (Caddyfile, keepalive): it closes them, never we."""
KEEP_ALIVE_SECONDS = 75
BACKLOG = 2048


class Server(uvicorn.Server):
    """uvicorn, with a stop that loses nothing."""

    def __init__(self, app: Starlette) -> None:
        config = uvicorn.Config(
            app,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,  # Caddy writes it
            server_header=False,
            proxy_headers=False,  # Caddy's own headers are read where they are needed
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=FINISH_SECONDS,
        )
        super().__init__(config)
        services: Services = app.state.services
        self._stopping = services.stopping

    def handle_exit(self, sig: int, frame: object) -> None:
        """Stop at the first signal; at the second, do not wait any longer.

        uvicorn would raise the signal again at the end; we return an exit code instead.
        """
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nothing new, let every request that came in finish, end the live streams."""
        log.info("gateway stopping")
        for server in self.servers:
            server.close()
        self._stopping.begin(ANSWER_SECONDS)
        await self._idle_closed()
        await super().shutdown(sockets)

    async def _idle_closed(self) -> None:
        """Wait until Caddy has closed its idle connections, and new ones have had their request.

        uvicorn would close them itself, and a caller whose request is just on its way would see a
        reset instead of an answer. Every answer from now on closes its connection (Envelope).
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + IDLE_CLOSED_SECONDS
        connections = self.server_state.connections
        while loop.time() < until and any(map(_idle, connections)):  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)


def _idle(connection: object) -> bool:
    """Say whether no request is being served on this connection."""
    cycle = getattr(connection, "cycle", None)
    return cycle is None or bool(getattr(cycle, "response_complete", True))


def serve(settings: Settings, registry: Registry) -> int:
    """Serve until told to stop; return the exit code.

    Raises:
        ConfigurationError: a secret is missing, or the address is not to be had.
    """
    configure_logging(settings)
    _quiet_uvicorn()
    dsn_of(settings)  # without an address there is nothing to wait for
    app = create_app(settings, registry)
    listener = listening(settings)
    for broken in registry.broken:
        log.error("function file does not import", function=broken.name, line=broken.line)
    name = listener.getsockname()
    log.info("gateway started", address=name if isinstance(name, str) else f"{name[0]}:{name[1]}")
    server = Server(app)
    spare_what_stays()
    server.run(sockets=[listener])
    log.info("gateway stopped")
    return 0 if server.started else 1


def listening(settings: Settings) -> socket.socket:
    """Return the listening socket: the inherited one, or one of our own."""
    if settings.gateway_fd is not None:
        try:
            os.set_inheritable(settings.gateway_fd, False)
            return socket.socket(fileno=settings.gateway_fd)
        except OSError as error:
            raise ConfigurationError(
                f"NEXUS_GATEWAY_FD={settings.gateway_fd} is not an open socket: {error.strerror}"
            ) from None
    if (file := socket_file(settings.gateway_address)) is not None:
        found = listening_at(file, BACKLOG)
        if found is None:
            raise ConfigurationError(
                f"cannot listen at {file}: something is there, the folder is not ours, or the path"
                f" is over {PATH_LIMIT_BYTES} bytes or holds a brace or backtick; set GATEWAY_ADDR"
            )
        return found
    host, _, port = settings.gateway_address.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdigit():
        raise ConfigurationError(
            f"GATEWAY_ADDR={settings.gateway_address!r} is neither host:port, as 127.0.0.1:8000,"
            " nor unix/PATH"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(
            f"cannot listen on {settings.gateway_address}: {error}; set GATEWAY_ADDR"
        ) from None


def _quiet_uvicorn() -> None:
    """Send uvicorn's warnings where ours go, and nothing else of it."""
    logger = logging.getLogger("uvicorn")
    logger.handlers[:] = logging.getLogger("nexus").handlers
    logger.setLevel(logging.WARNING)
    logger.propagate = False
