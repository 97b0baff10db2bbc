"""A function that runs on another host: its bell rings there, and a cut link costs time alone."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from runtime import Context, Event, function
from runtime.errors import ConfigurationError, DeclarationError
from runtime.placement import neighbours, served_here
from runtime.policy import Policy
from runtime.registry import load_registry
from runtime.settings import Settings, load_settings
from runtime.worker import work
from state.database import connect
from tests.network import Link, kept, loopback, namespaces
from tests.runtime.harness import environment, platform, until, worker_process, working
from tests.runtime.test_neighbour import host
from tests.sample.enter import TABLE, Enter
from tests.sample.greet import Greet, greet
from tests.sample.note import Note, note
from tests.servers import free_port

TOKEN = "internal-" + "t" * 32
BOOKS = 3
BATCH = 30
LIVING = "SELECT count(*) FROM worker WHERE NOT ended AND lease_until > clock_timestamp()"


class Begin(Event):
    """Ask for two notes."""


def placed_at(settings: Settings, url: str) -> Settings:
    return settings.model_copy(update={"agent_service_url": url})


@pytest.mark.parametrize(
    "url",
    [
        "10.0.0.7:8081",
        "ftp://10.0.0.7",
        "http://",
        "http://ana:secret@10.0.0.7",
        "http://10.0.0.7:99999",
        "http://10.0.0.7/functions",
        "http://10.0.0.7?x=1",
        "http://10.0.0.7:8081 http://10.0.0.8",
        "http://[::1",
    ],
)
def test_an_address_that_cannot_be_rung_is_refused_by_the_name_of_its_setting(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^WHATSAPP_SERVICE_URL: ") as refused:
        load_settings({"WHATSAPP_SERVICE_URL": url})
    assert "secret" not in str(refused.value)


def test_the_address_of_a_door_may_end_in_a_slash() -> None:
    settings = load_settings({"AGENT_SERVICE_URL": "https://agents.internal:8443/"})
    assert settings.agent_service_url == "https://agents.internal:8443"


def test_each_setting_places_the_functions_of_its_service() -> None:
    registry = load_registry("functions")
    agent = load_settings({"AGENT_SERVICE_URL": "http://a:1"})
    both = load_settings({"AGENT_SERVICE_URL": "http://a:1", "WHATSAPP_SERVICE_URL": "http://a:1"})
    everything = [each.name for each in registry]

    assert served_here(load_settings({}), registry) == everything
    assert served_here(agent, registry) == [n for n in everything if n != "agent_run"]
    left = [n for n in everything if n not in ("agent_run", "message_send")]
    assert served_here(both, registry) == left


def test_a_service_that_is_none_is_refused_where_it_is_declared() -> None:
    with pytest.raises(DeclarationError, match="one of agent, whatsapp, tiendanube"):
        Policy(service="agents")  # type: ignore[arg-type]


async def test_the_door_of_another_host_needs_the_token(settings: Settings) -> None:
    without = placed_at(settings, "http://a:1").model_copy(update={"internal_api_token": None})
    with pytest.raises(ConfigurationError, match="AGENT_SERVICE_URL needs INTERNAL_API_TOKEN"):
        neighbours(without, load_registry("functions"))


async def test_functions_of_one_host_share_its_line(settings: Settings) -> None:
    both = placed_at(settings, "http://a:1").model_copy(
        update={"whatsapp_service_url": "http://a:1"}
    )
    found = neighbours(both, load_registry("functions"))
    assert found["agent_run"] is found["message_send"]
    assert found["agent_run"].functions == {
        "agent_run": "AGENT_SERVICE_URL",
        "message_send": "WHATSAPP_SERVICE_URL",
    }


async def test_a_worker_leaves_to_the_other_host_what_is_placed_there(
    settings: Settings, tmp_path: Path
) -> None:
    elsewhere = placed_at(settings, f"http://127.0.0.1:{free_port()}")
    async with working(elsewhere, [greet, note]) as found:
        receipt = await found.dispatcher.dispatch(Note(file=str(tmp_path / "n"), line="1"))
        assert (await found.run(Greet())).state == "done"
        waiting = await found.invocations.get(receipt.id)
        assert waiting is not None
        assert (waiting.state, waiting.attempts) == ("waiting", 0)
    async with working(settings, [greet, note]) as found:
        assert (await found.end_of(receipt.id)).state == "done"


async def test_what_an_attempt_dispatches_rings_at_the_other_host(
    settings: Settings, tmp_path: Path
) -> None:
    @function()
    async def begin(event: Begin, ctx: Context) -> None:
        await ctx.dispatch(Note(file=str(tmp_path / "n"), line="1"))
        async with ctx.transaction() as transaction:
            transaction.dispatch(Note(file=str(tmp_path / "n"), line="2"))

    async with (
        host() as there,
        working(placed_at(settings, there.url), [begin, note]) as found,
    ):
        await found.run(Begin())
        await until(lambda: there.rung("note") == 2)


async def test_a_worker_that_is_asked_for_it_says_which_setting_forbids_it(
    settings: Settings,
) -> None:
    registry = load_registry("tests.sample")
    with pytest.raises(ConfigurationError, match=r"note runs on another host.*AGENT_SERVICE_URL"):
        await work(placed_at(settings, "http://a:1"), registry, ["note"])


def moved(dsn: str, host: str, port: int) -> str:
    """The same server by another address."""
    parts = urlsplit(dsn)
    assert parts.port is not None
    return dsn.replace(f"{parts.hostname}:{parts.port}", f"{host}:{port}")


async def reachable(link: Link, url: str) -> str:
    """The address of a server of ours, as the other host sees it."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return moved(url, *await link.from_there(parts.hostname, parts.port))


async def answers(url: str) -> None:
    async with asyncio.timeout(30), httpx2.AsyncClient(trust_env=False) as client:
        while True:
            try:
                await client.get(f"{url}/healthz")
            except httpx2.HTTPError:
                await asyncio.sleep(0.05)
            else:
                return


async def bells_taken(url: str) -> bool:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx2.AsyncClient(trust_env=False, headers=headers, timeout=10) as client:
        said = (await client.get(f"{url}/metrics")).text
    return 'nexus_gateway_requests_total{door="private",status="204"}' in said


@pytest.mark.parametrize("between", [namespaces, loopback])
async def test_a_link_that_is_cut_in_the_middle_loses_nothing_and_doubles_nothing(
    settings: Settings,
    tmp_path: Path,
    between: Callable[[], AbstractAsyncContextManager[Link]],
) -> None:
    assert settings.postgres_dsn is not None
    assert settings.redis_url is not None
    async with between() as link:
        port = free_port()
        there = {
            **environment(settings, "tests.sample"),
            "POSTGRES_DSN": await reachable(link, settings.postgres_dsn.get_secret_value()),
            "REDIS_URL": await reachable(link, settings.redis_url.get_secret_value()),
            "GATEWAY_ADDR": f"{link.there}:{port}",
            "INTERNAL_API_TOKEN": TOKEN,
            "ADMIN_TOKEN": "admin-" + "t" * 32,
            "NEXUS_NOTIFY_WAKE": "false",
        }
        url = "http://{}:{}".format(*await link.from_here(port))
        nexus = (*link.enter, sys.executable, "-P", "-m", "gateway.cli")
        here = placed_at(settings, url).model_copy(update={"notify_wake": False})
        ours = {"AGENT_SERVICE_URL": url, "INTERNAL_API_TOKEN": TOKEN}
        async with (
            kept((*nexus, "serve"), there, tmp_path / "gateway-there.log"),
            kept((*nexus, "work", "enter"), there, tmp_path / "enter-there.log"),
            worker_process(settings, tmp_path, **ours) as local,
            platform(here, load_registry("tests.sample")) as found,
        ):
            owner = await connect(found.database.dsn, application="test", role=None)
            await owner.execute(TABLE)
            await owner.close()
            await answers(url)
            (other,) = found.dispatcher.neighbours
            numbers = iter(range(1_000_000))

            async def dispatch(count: int) -> None:
                for number in [next(numbers) for _ in range(count)]:
                    event = Enter(book=str(number % BOOKS), number=number, seconds=0.02)
                    await found.dispatcher.dispatch_many([event])

            async def entered(count: int) -> None:
                async with asyncio.timeout(60):
                    while await found.value("SELECT count(*) FROM entry") < count:
                        await asyncio.sleep(0.02)

            await dispatch(BATCH)
            await entered(BATCH // 2)
            link.cut()
            await dispatch(BATCH)
            await until(lambda: other.away_since is not None, 30)
            async with asyncio.timeout(30):  # the lease of the other host's worker runs out
                while await found.value(LIVING) > 1:
                    await asyncio.sleep(0.05)
            assert await found.value("SELECT count(*) FROM work") >= BATCH
            assert (await found.run(Greet())).state == "done", "what runs here goes on"
            link.restore()
            await dispatch(BATCH)
            await entered(3 * BATCH)
            await found.zero("SELECT count(*) FROM work")
            await until(lambda: not other.problem, 60)
            assert other.away_since is None
            assert await bells_taken(url)

            async with found.database.engine() as connection:
                rows = await connection.fetch("SELECT book, number FROM entry ORDER BY place")
            bad = await found.value("SELECT count(*) FROM outcome WHERE state <> 'd'")
            failures = await found.value("SELECT count(*) FROM failure")
            said = local.log.read_text()

    for book in range(BOOKS):
        expected = [number for number in range(3 * BATCH) if number % BOOKS == book]
        assert [row["number"] for row in rows if row["book"] == str(book)] == expected
    assert (bad, failures) == (0, 0)
    logs = said + "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert TOKEN not in logs
    assert "Traceback" not in said, said
