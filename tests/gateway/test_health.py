"""What balancers, platforms and Prometheus are told."""

from starlette.applications import Starlette

from gateway.app import create_app
from gateway.services import Services
from runtime.registry import Registry
from runtime.settings import Settings
from state.database import Database, connect
from state.scaling import Scaling, declare_scaling
from state.surgeon import operate
from tests.gateway.conftest import BEARER, Client, client_of
from tests.gateway.people import sign_in
from tests.sample.labour import Labour
from tests.sample.note import Note
from tests.state.operating import break_it


async def test_everybody_may_ask_whether_the_gateway_lives(outside: Client) -> None:
    answer = await outside.get("/healthz")

    assert answer.json() == {"status": "ok"}
    assert "4.0" not in answer.text


async def test_without_a_worker_it_is_not_ready(api: Client) -> None:
    answer = await api.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["ready"] is False
    assert answer.json()["checks"]["workers"] == "0"
    assert answer.json()["checks"]["postgres"] == "answers"


async def test_with_a_worker_it_is_ready(api: Client, worker: None) -> None:
    await api.post("/functions/hello", json={})  # once answered, a worker is there
    answer = await api.get("/readyz")

    assert answer.status_code == 200
    assert answer.json()["checks"]["workers"] == "1"


async def test_a_schema_that_is_behind_is_not_ready(api: Client, database: Database) -> None:
    connection = await connect(database.dsn, application="test", role=None)
    await connection.execute("DELETE FROM migration WHERE name LIKE '0002%'")
    await connection.close()
    answer = await api.get("/readyz")

    assert answer.status_code == 503
    assert "nexus migrate" in answer.json()["checks"]["schema"]


async def test_differences_that_stand_are_named_and_counted(
    api: Client, database: Database
) -> None:
    await break_it(database.dsn, "GRANT SELECT ON session TO nexus_app")
    await operate(database.dsn)

    ready = await api.get("/readyz")
    counted = await api.get("/metrics")

    assert "1 differences stand; run ./nexus doctor" in ready.json()["checks"]["schema"]
    assert "nexus_schema_refused 1" in counted.text
    assert "nexus_alerts_open 1" in counted.text


async def test_a_schema_that_does_not_fit_is_not_called_away(
    api: Client, database: Database
) -> None:
    await break_it(database.dsn, "ALTER TABLE work RENAME TO work_old")
    answer = await api.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["checks"]["postgres"] == "answers"
    assert "nexus doctor" in answer.json()["checks"]["schema"]


async def test_metrics_count_invocations_and_requests(api: Client, worker: None) -> None:
    await api.post("/functions/hello", json={})
    answer = await api.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'nexus_invocations{function="hello",state="done"} 1' in answer.text
    assert 'nexus_gateway_requests_total{door="private",status="200"} 1' in answer.text
    assert "nexus_workers 1" in answer.text
    assert "nexus_postgres_up 1" in answer.text


async def test_while_postgres_is_away_the_gateway_lives_and_says_so(
    settings: Settings, registry: Registry
) -> None:
    nowhere = settings.model_validate(
        {**settings.model_dump(), "postgres_dsn": "postgresql://nobody@127.0.0.1:1/nexus"}
    )
    application = create_app(nowhere, registry)
    signed_in = {"Accept": "text/html", "Cookie": "nexus=x"}
    async with application.router.lifespan_context(application), client_of(application) as client:
        alive = await client.get("/healthz")
        ready = await client.get("/readyz", headers=BEARER)
        counted = await client.get("/metrics", headers=BEARER)
        invoked = await client.post("/functions/hello", json={}, headers=BEARER)
        page = await client.get("/invocations", headers=signed_in)

    assert alive.status_code == 200
    assert ready.status_code == 503
    assert ready.json()["checks"]["postgres"] == "away"
    assert "nexus_postgres_up 0" in counted.text
    assert invoked.status_code == 503
    assert invoked.headers["retry-after"]
    assert page.status_code == 503
    assert "The database does not answer" in page.text


async def test_a_bug_is_told_with_a_number_and_nothing_else(app: Starlette, capfd: object) -> None:
    app.state.boards = None  # whatever goes wrong inside
    async with client_of(app, Accept="text/html") as client:
        await sign_in(client)
        answer = await client.get("/invocations", headers={"X-Request-Id": "12345678-abc"})

    assert answer.status_code == 500
    assert "12345678-abc" in answer.text
    assert answer.headers["x-request-id"] == "12345678-abc"
    assert "NoneType" not in answer.text
    assert "Traceback" not in answer.text


async def test_scalers_learn_what_waits_and_what_runs_in_lanes_and_outside(
    api: Client, app: Starlette
) -> None:
    services: Services = app.state.services
    dispatcher = services.opened.dispatcher
    await dispatcher.dispatch_many([Labour() for _ in range(5)])
    await dispatcher.dispatch(Labour(), delay_seconds=60)
    await dispatcher.dispatch_many([Note(file="", line="", book=book) for book in "aabc"])
    async with services.opened.database.engine() as connection:
        numbers = dict(await connection.fetch("SELECT name, fn FROM function"))
        declared = [Scaling(numbers[name], name, 0, 3, 1) for name in ("labour", "note")]
        await declare_scaling(connection, declared)
        two = "(SELECT id FROM work WHERE lane IS NULL ORDER BY id LIMIT 2)"
        await connection.execute(f"UPDATE work SET worker = 1 WHERE id IN {two}")
        await connection.execute(
            "UPDATE lane SET worker = 1 WHERE lane = (SELECT min(lane) FROM lane)"
        )

    asked = (await api.get("/internal/scale")).json()["functions"]
    labour, note = asked["labour"], asked["note"]
    assert (labour["waiting"], labour["running"], labour["demand"]) == (3, 2, 5)
    assert (note["waiting"], note["running"], note["demand"]) == (2, 1, 3)  # lanes
    assert labour["desired"] == note["desired"] == 3  # bounded by Scale(0, 3)

    counted = (await api.get("/metrics")).text
    assert 'nexus_demand{function="labour"} 5' in counted
    assert 'nexus_demand{function="note"} 3' in counted
    assert 'nexus_desired_processes{function="labour"} 3' in counted
