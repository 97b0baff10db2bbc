"""Everything one `nexus up` will run, worked out before anything is started."""

import hashlib
import os
import secrets
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from runtime.errors import ConfigurationError
from runtime.host.embedded import Embedded, embedded_servers, local_secrets
from runtime.host.errors import HostFault
from runtime.host.layout import HOME, Layout
from runtime.host.ports import (
    LOOPBACK,
    SOCKET_FILE,
    Ports,
    is_free,
    listening,
    listening_at,
    socket_file,
)
from runtime.host.probes import accepts, answers_http, both, holds_lease
from runtime.host.procfile import direct, read_procfile
from runtime.host.program import Program
from runtime.host.stack import Stack, this_moment
from runtime.placement import placed, services_elsewhere
from runtime.policy import MAXIMUM_TIMEOUT_SECONDS
from runtime.registry import load_registry
from runtime.settings import Settings

LEASE_LOST = 75
STOP_SECONDS = 26
"""A worker drains for 20 s and has 5 s for its last turn; platforms give 30."""
RETIRE_MARGIN_SECONDS = 10
LOCAL_DRAIN_SECONDS = 2
"""On a desk, Ctrl-C should be quick; what still runs is handed back and runs again."""


@dataclass(frozen=True)
class Limits:
    """How long stopping may take: first our processes, then the servers under them."""

    processes_seconds: float
    servers_seconds: float


LOCAL_LIMITS = Limits(3.0, 1.5)
PRODUCTION_LIMITS = Limits(STOP_SECONDS, 3.0)


@dataclass(frozen=True)
class Plan:
    """What to run, and where it will be."""

    layout: Layout
    embedded: Embedded
    processes: list[Program]
    stack: Stack
    limits: Limits
    remarks: list[str]
    """What the person should know before it starts."""
    scale_seconds: float
    """The window by which the number of processes is decided."""
    elsewhere: frozenset[str]
    """Functions that another host runs: they get no processes here."""
    gateway_socket: socket.socket = field(repr=False)
    """Held here, so that no connection is refused while the gateway is restarted."""

    def worker_of(self, function: str, number: int) -> Program:
        """Return one more worker, for a single function."""
        worker = next(each for each in self.processes if each.name == "worker")
        argv = tuple(each for each in worker.argv if each != "--clock")
        return replace(worker, name=f"{function}.{number}", argv=(*argv, function))


def make_plan(settings: Settings, environ: Mapping[str, str], layout: Layout) -> Plan:
    """Work out what to run.

    Raises:
        ConfigurationError: a setting makes no sense.
        HostFault: the machine does not let us.
    """
    remarks: list[str] = []
    ports = Ports(layout)
    port = _port(ports, "public", settings.port, remarks)
    private = _port(ports, "private", settings.private_port, remarks)
    embedded = embedded_servers(settings, layout, ports)
    gateway = _gateway_socket(settings, layout, ports, remarks)
    shared = {
        **embedded.environment,
        **local_secrets(settings, layout),
        "NEXUS_STATE_DIR": str(layout.root),
        "PORT": str(port),
        "NEXUS_PRIVATE_PORT": str(private),
        "GATEWAY_ADDR": _address_of(gateway),
    }
    code = secrets.token_urlsafe(24)
    address = settings.api_base_url or f"http://localhost:{port}"
    stack = Stack(
        pid=os.getpid(),
        moment=this_moment(),
        started_at=time.time(),
        address=address,
        login_link=f"{address}/login?code={code}",
        private_address=f"http://{LOOPBACK}:{private}",
        environment={**_given(settings, environ), **shared},
    )
    own = {
        "NEXUS_LOGIN_CODE_SHA256": hashlib.sha256(code.encode()).hexdigest(),
        "NEXUS_GATEWAY_FD": str(gateway.fileno()),
    }
    environment = {**environ, **shared, "NEXUS_SUPERVISED": "1", "PYTHONUNBUFFERED": "1"}
    if not settings.production:
        environment.setdefault("NEXUS_DRAIN_SECONDS", str(LOCAL_DRAIN_SECONDS))
    return Plan(
        layout,
        embedded,
        _processes(environment, own, gateway),
        stack,
        PRODUCTION_LIMITS if settings.production else LOCAL_LIMITS,
        remarks,
        settings.scale_seconds,
        _elsewhere(settings),
        gateway,
    )


def _elsewhere(settings: Settings) -> frozenset[str]:
    """Return the functions that another host runs; they are imported only if there is one."""
    if not services_elsewhere(settings):
        return frozenset()
    return frozenset(each.function for each in placed(settings, load_registry(settings.functions)))


def _processes(
    environment: Mapping[str, str],
    gateway_only: Mapping[str, str],
    gateway: socket.socket,
) -> list[Program]:
    """Return the Procfile's processes; the clock runs inside the worker."""
    found = []
    for name, command in read_procfile(HOME / "Procfile").items():
        if name == "clock":
            continue
        argv = direct(command)
        program = Program(
            name,
            tuple([*argv, "--clock"] if name == "worker" else argv),
            environment,
            directory=str(HOME),
            quiet_codes=frozenset({LEASE_LOST}),
            stop_seconds=STOP_SECONDS,
            shown="warning",
        )
        if name == "gateway":
            program = replace(
                program,
                environment={**environment, **gateway_only},
                descriptors=(gateway.fileno(),),
                ready=both(accepts(gateway.fileno()), answers_http(_where(gateway), "/healthz")),
            )
        elif name == "web":
            # Asked at the private door: in production the public one knows no "localhost".
            door = answers_http(int(environment["NEXUS_PRIVATE_PORT"]), "/healthz")
            program = replace(program, ready=door, shown="error")
        elif argv[4:5] == ["work"]:
            program = replace(
                program,
                ready=holds_lease(environment["POSTGRES_DSN"]),
                retire_signal=signal.SIGUSR1,
                retire_seconds=MAXIMUM_TIMEOUT_SECONDS + RETIRE_MARGIN_SECONDS,
            )
        found.append(program)
    return found


def _port(ports: Ports, name: str, wanted: int, remarks: list[str]) -> int:
    chosen = ports.choose(name, wanted)
    if chosen != wanted:
        remarks.append(f"port {wanted} is taken; the {name} door is at {chosen}")
    return chosen


def _gateway_socket(
    settings: Settings, layout: Layout, ports: Ports, remarks: list[str]
) -> socket.socket:
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
        remarks.append(f"no socket file at {file}; the gateway is at {_address_of(held)}")
    return held


def _number(address: str) -> int:
    try:
        return int(address.rpartition(":")[2])
    except ValueError:
        raise ConfigurationError(f"GATEWAY_ADDR: {address!r} has no port") from None


def _address_of(held: socket.socket) -> str:
    where = _where(held)
    return f"{SOCKET_FILE}{where}" if isinstance(where, Path) else f"{LOOPBACK}:{where}"


def _where(held: socket.socket) -> int | Path:
    """Return the port, or the socket file."""
    name = held.getsockname()
    return Path(name) if held.family == socket.AF_UNIX else int(name[1])


def _given(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that came from outside, for those who join from another terminal."""
    names = {str(field.alias) for field in type(settings).model_fields.values()}
    return {name: environ[name] for name in names if environ.get(name)}
