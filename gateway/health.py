"""How the gateway and everything behind it do: for balancers, platforms and Prometheus."""

from collections.abc import Iterable, Iterator

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gateway.envelope import Traffic
from gateway.problems import Problem
from gateway.services import Services
from runtime.line import dsn_of
from runtime.neighbour import Neighbour
from runtime.scale import desired
from state.admission import late_drops
from state.errors import StateFault, StatementFailed
from state.health import database_health
from state.invocations import FunctionCount, Invocations
from state.migrate import pending
from state.scaling import Demand, demands
from state.surgeon import standing

Labels = dict[str, str]
Sample = tuple[Labels, float]

NO_STORE = {"Cache-Control": "no-store"}


async def alive(request: Request) -> Response:
    """Say that this process answers; nothing about what is behind it."""
    return JSONResponse({"status": "ok"}, headers=NO_STORE)


async def ready(request: Request) -> Response:
    """Say whether a request would be served now, and if not, what is missing."""
    services: Services = request.app.state.services
    checks = {"stopping": "no", "postgres": "answers", "schema": "current", "workers": "0"}
    ok = True
    if services.stopping.begun.is_set():
        checks["stopping"], ok = "yes", False
    try:
        missing = await pending(dsn_of(services.settings))
        if missing:
            checks["schema"] = f"{len(missing)} files behind; run ./nexus migrate"
            ok = False
        else:
            refused = await standing(services.opened.database)
            if refused:  # it may well serve: what cannot work without is told by the workers
                checks["schema"] = f"current, but {refused} differences stand; run ./nexus doctor"
            health = await database_health(services.opened.database)
            checks["workers"] = str(health.workers)
            ok = ok and health.workers > 0
            checks |= _of_hosts(services.opened.dispatcher.neighbours)
    except StatementFailed:
        checks["schema"], ok = "does not fit; run ./nexus doctor", False
        checks["workers"] = "unknown"
    except (StateFault, Problem):
        checks["postgres"], ok = "away", False
        checks["schema"] = checks["workers"] = "unknown"
    document = {"ready": ok, "version": services.settings.app_version, "checks": checks}
    return JSONResponse(document, 200 if ok else 503, NO_STORE)


async def metrics(request: Request) -> Response:
    """Return counts in the text format of Prometheus."""
    services: Services = request.app.state.services
    lines: list[str] = []
    lines += _of_gateway(services.settings.app_version, request.app.state.traffic)
    streams: int = request.app.state.watch.streams
    lines += _family("nexus_gateway_streams", "gauge", "Live pages open now.", [({}, streams)])
    try:
        database = services.opened.database
        health = await database_health(database)
        counts = await Invocations(database).counts()
        async with database.engine() as connection:
            demanded = await demands(connection)
            late = await late_drops(connection)
        refused = await standing(database)
    except (StateFault, Problem):
        lines += _family("nexus_postgres_up", "gauge", "Whether Postgres answers.", [({}, 0)])
    else:
        lines += _family("nexus_postgres_up", "gauge", "Whether Postgres answers.", [({}, 1)])
        lines += _family(
            "nexus_workers", "gauge", "Workers whose lease runs.", [({}, health.workers)]
        )
        lines += _family(
            "nexus_alerts_open", "gauge", "Alerts nobody dealt with yet.", [({}, health.alerts)]
        )
        lines += _family(
            "nexus_schema_refused",
            "gauge",
            "Differences from the declared schema that were not repaired.",
            [({}, refused)],
        )
        lines += _family(
            "nexus_oddities",
            "gauge",
            "Parts of deliveries nobody could take, of the last 24 hours.",
            [({}, health.oddities)],
        )
        lines += _family(
            "nexus_host_up",
            "gauge",
            "Whether the other host that runs a function answers.",
            [
                ({"function": name}, not host.problem)
                for host in services.opened.dispatcher.neighbours
                for name in host.functions
            ],
        )
        lines += _of_functions(counts)
        lines += _family(
            "nexus_deadline_drops",
            "gauge",
            "Invocations dropped unstarted since their deadline had passed, of the last 24 hours.",
            [({"function": name}, count) for name, count in late],
        )
        lines += _of_scaling(demanded)
    return PlainTextResponse(
        "\n".join(lines) + "\n",
        headers=NO_STORE,
        media_type="text/plain; version=0.0.4; charset=utf-8",
    )


async def scale(request: Request) -> Response:
    """Return what functions have to do and how many processes would do it, for KEDA.

    `demand` counts what runs as well as what waits, so that a scaler that divides it by what one
    process holds never takes away a process whose attempts still run.
    """
    services: Services = request.app.state.services
    async with services.opened.database.engine() as connection:
        found = await demands(connection)
    functions = {
        each.function: {
            **each._asdict(),
            "demand": each.waiting + each.running,
            "desired": desired(each),
        }
        for each in found
    }
    return JSONResponse({"functions": functions}, headers=NO_STORE)


def _of_hosts(hosts: Iterable[Neighbour]) -> dict[str, str]:
    """Return how functions do that other hosts run: their work waits, and nothing here is late."""
    return {
        name: f"on another host, which {host.problem or 'answers'}"
        + (f", since {host.away_since:%Y-%m-%d %H:%M:%S} UTC" if host.away_since else "")
        for host in hosts
        for name in host.functions
    }


public = [Route("/healthz", alive, methods=["GET"])]
private = [
    Route("/readyz", ready, methods=["GET"]),
    Route("/metrics", metrics, methods=["GET"]),
    Route("/internal/scale", scale, methods=["GET"]),
]


def _of_gateway(version: str, traffic: Traffic) -> Iterator[str]:
    yield from _family("nexus_info", "gauge", "The version.", [({"version": version}, 1)])
    yield from _family(
        "nexus_gateway_requests_total",
        "counter",
        "Requests answered; status 0: broken off.",
        [
            ({"door": door, "status": str(status)}, count)
            for (door, status), count in sorted(traffic.answered.items())
        ],
    )
    yield from _family(
        "nexus_gateway_request_seconds_total",
        "counter",
        "Time spent on requests, waiting for results included.",
        [({"door": door}, seconds) for door, seconds in sorted(traffic.seconds.items())],
    )


def _of_functions(counts: list[FunctionCount]) -> Iterator[str]:
    yield from _family(
        "nexus_invocations",
        "gauge",
        "Invocations by state; done: of the last 24 hours.",
        [({"function": each.function, "state": each.state}, each.count) for each in counts],
    )
    yield from _family(
        "nexus_oldest_waiting_seconds",
        "gauge",
        "How long the oldest invocation that could run has waited.",
        [
            ({"function": each.function}, each.oldest_waiting_seconds)
            for each in counts
            if each.state == "waiting"
        ],
    )


def _of_scaling(demanded: list[Demand]) -> Iterator[str]:
    yield from _family(
        "nexus_demand",
        "gauge",
        "What could run now and what runs, together: scale by this.",
        [({"function": each.function}, each.waiting + each.running) for each in demanded],
    )
    yield from _family(
        "nexus_desired_processes",
        "gauge",
        "Worker processes that would do, by this moment alone.",
        [({"function": each.function}, desired(each)) for each in demanded],
    )


def _family(name: str, kind: str, text: str, samples: Iterable[Sample]) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        inside = ",".join(f'{label}="{_escaped(each)}"' for label, each in labels.items())
        yield f"{name}{{{inside}}} {value:g}" if inside else f"{name} {value:g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
