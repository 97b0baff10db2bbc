"""Everything one `nexus up` will run, worked out before anything is started."""

import hashlib
import os
import secrets
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from runtime.host.doors import Doors, open_doors, where_of
from runtime.host.embedded import Embedded, embedded_servers, local_secrets
from runtime.host.layout import HOME, Layout
from runtime.host.ports import LOOPBACK, Ports
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
SUPERVISED = {"NEXUS_SUPERVISED": "1"}
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
    doors: Doors = field(repr=False)
    """Held here, so that no connection is refused while gateway or Caddy is restarted."""

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
    at = {"PORT": str(port), "NEXUS_PRIVATE_PORT": str(private)}
    doors = open_doors(settings, layout, ports, {**environ, **at, **SUPERVISED}, remarks)
    shared = {
        **embedded.environment,
        **local_secrets(settings, layout),
        **at,
        "NEXUS_STATE_DIR": str(layout.root),
        "GATEWAY_ADDR": doors.gateway_address(),
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
    code_sha256 = hashlib.sha256(code.encode()).hexdigest()
    environment = {**environ, **shared, **SUPERVISED, "PYTHONUNBUFFERED": "1"}
    if not settings.production:
        environment.setdefault("NEXUS_DRAIN_SECONDS", str(LOCAL_DRAIN_SECONDS))
    return Plan(
        layout,
        embedded,
        _processes(environment, doors, code_sha256, tls=settings.tls_port is not None),
        stack,
        PRODUCTION_LIMITS if settings.production else LOCAL_LIMITS,
        remarks,
        settings.scale_seconds,
        _elsewhere(settings),
        doors,
    )


def _elsewhere(settings: Settings) -> frozenset[str]:
    """Return the functions that another host runs; they are imported only if there is one."""
    if not services_elsewhere(settings):
        return frozenset()
    return frozenset(each.function for each in placed(settings, load_registry(settings.functions)))


def _processes(
    environment: Mapping[str, str], doors: Doors, code_sha256: str, *, tls: bool
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
            number = doors.gateway.fileno()
            own = {"NEXUS_LOGIN_CODE_SHA256": code_sha256, "NEXUS_GATEWAY_FD": str(number)}
            program = replace(
                program,
                environment={**environment, **own},
                descriptors=(number,),
                ready=both(accepts(number), answers_http(where_of(doors.gateway), "/healthz")),
            )
        elif name == "web":
            # Asked at the private door: in production the public one knows no "localhost".
            door = answers_http(int(environment["NEXUS_PRIVATE_PORT"]), "/healthz")
            held = doors.of_caddy()
            program = replace(
                program,
                environment={**environment, **doors.binds()},
                descriptors=held,
                ready=both(accepts(held[0]), door) if held else door,
                shown="error",
                alone=tls or not doors.all_held(),  # nobody holds the socket of TLS_PORT
            )
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


def _given(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that came from outside, for those who join from another terminal."""
    names = {str(field.alias) for field in type(settings).model_fields.values()}
    return {name: environ[name] for name in names if environ.get(name)}
