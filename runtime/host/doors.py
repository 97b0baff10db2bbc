"""The sockets of an installation, held by its supervisor: nobody is refused between two processes.

Gateway and Caddy inherit them. While one of them is started again, whoever comes waits in the
socket's line instead of being turned away.
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import ConfigurationError
from runtime.host.caddy import ADMIN_SOCKET, INHERITED, addresses, open_to_all
from runtime.host.errors import HostFault
from runtime.host.layout import Layout
from runtime.host.ports import (
    LOOPBACK,
    SOCKET_FILE,
    Ports,
    is_free,
    listening,
    listening_at,
    socket_file,
)
from runtime.settings import Settings


@dataclass(frozen=True)
class Doors:
    """What is held, and how those who serve it are told."""

    gateway: socket.socket
    """The gateway's, which Caddy alone comes to."""
    caddy: Mapping[str, tuple[socket.socket, ...]]
    """Caddy's, by the variable with which the Caddyfile is told. Nothing in it: Caddy listens there
    by itself."""

    def gateway_address(self) -> str:
        """Return where the gateway is, as GATEWAY_ADDR."""
        where = where_of(self.gateway)
        return f"{SOCKET_FILE}{where}" if isinstance(where, Path) else f"{LOOPBACK}:{where}"

    def of_caddy(self) -> tuple[int, ...]:
        """Return the numbers of what Caddy inherits."""
        return tuple(one.fileno() for held in self.caddy.values() for one in held)

    def binds(self) -> dict[str, str]:
        """Return what the Caddyfile is told of it."""
        return {
            name: " ".join(f"{INHERITED}{one.fileno()}" for one in held)
            for name, held in self.caddy.items()
            if held
        }

    def all_held(self) -> bool:
        """Say whether two Caddies can run side by side, but for a socket of TLS_PORT."""
        return all(self.caddy.values())

    def close_to_callers(self) -> None:
        """Let go of Caddy's: once it ends, callers are refused instead of waiting for nothing."""
        for held in self.caddy.values():
            for one in held:
                one.close()

    def close(self) -> None:
        """Let go of all."""
        self.close_to_callers()
        self.gateway.close()


def where_of(held: socket.socket) -> int | Path:
    """Return the port, or the socket file."""
    name = held.getsockname()
    return Path(name) if held.family == socket.AF_UNIX else int(name[1])


def open_doors(
    settings: Settings,
    layout: Layout,
    ports: Ports,
    environment: Mapping[str, str],
    remarks: list[str],
) -> Doors:
    """Listen at all doors.

    Args:
        settings: of this installation.
        layout: its folders.
        ports: what is free.
        environment: of Caddy; PORT and NEXUS_PRIVATE_PORT are where it is to listen.
        remarks: gets what the person should know.

    Raises:
        ConfigurationError: GATEWAY_ADDR has no port.
        HostFault: the gateway can listen nowhere.
    """
    hosts = addresses(everywhere=open_to_all(settings, environment))
    admin = layout.folder("caddy") / ADMIN_SOCKET
    at_file = listening_at(admin) if settings.caddy_admin is None else None
    caddy = {
        "PUBLIC_BIND": _held(environment, "PUBLIC_BIND", hosts, environment["PORT"]),
        "PRIVATE_BIND": _held(
            environment, "PRIVATE_BIND", [LOOPBACK], environment["NEXUS_PRIVATE_PORT"]
        ),
        "CADDY_ADMIN": (at_file,) if at_file is not None else (),
    }
    return Doors(_gateway(settings, layout, ports, remarks), caddy)


def _held(
    environment: Mapping[str, str], told: str, hosts: list[str], port: str
) -> tuple[socket.socket, ...]:
    """Return sockets at a port, one for each address; nothing if Caddy was told where to listen."""
    if environment.get(told):
        return ()
    found = [listening(int(port), host.strip("[]")) for host in hosts]
    held = tuple(one for one in found if one is not None)
    if len(held) == len(hosts):
        return held
    for one in held:
        one.close()
    return ()  # it was free a moment ago; Caddy will say what is wrong


def _gateway(settings: Settings, layout: Layout, ports: Ports, remarks: list[str]) -> socket.socket:
    """Return what the gateway listens at: a file of this installation, unless an address was given.

    Caddy, on the same host, finds it with less work at a file, and nobody else finds it at all.
    """
    given = "gateway_address" in settings.model_fields_set
    file = socket_file(settings.gateway_address) if given else layout.run / "gateway.sock"
    if file is not None and (made := listening_at(file)) is not None:
        return made
    if given and file is not None:
        raise HostFault(f"the gateway cannot listen at {file}; set GATEWAY_ADDR to host:port")
    wanted = _number(settings.gateway_address)
    held = listening(wanted) if is_free(wanted) else None
    held = held or listening(ports.choose("gateway"))
    if held is None:
        raise HostFault("no port for the gateway; set GATEWAY_ADDR")
    if not given:
        remarks.append(f"no socket file at {file}; the gateway is at {LOOPBACK}:{where_of(held)}")
    return held


def _number(address: str) -> int:
    try:
        return int(address.rpartition(":")[2])
    except ValueError:
        raise ConfigurationError(f"GATEWAY_ADDR: {address!r} has no port") from None
