"""Shops' domains, added and removed at run time: real Caddy, real gateway, real handshakes."""

import asyncio
import io
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import httpx2
import pytest

from gateway.caddy import Admin, EdgeAway, EdgeMoved
from gateway.cli.main import main
from gateway.domains import Domains
from gateway.edge import MARK, SERVERS, Edge
from gateway.tls import NEW_NAMES, Invented
from runtime.host.binaries import caddy
from runtime.host.layout import HOME
from runtime.host.postgres import Postgres
from runtime.host.valkey import Valkey
from runtime.settings import load_settings
from state.database import Database
from state.domains import add_domain, domains, remove_domain
from state.shops import open_shop
from tests.acceptance.test_doors import BOTH, CADDY, INSIDE, SECRETS, ask, cases, through
from tests.acceptance.test_doors import with_token as asked
from tests.servers import free_port
from tests.sites import Site, fresh_site
from tests.stacks import wait_for

T = TypeVar("T")
NAME = "www.tienda.example"
WITHIN_SECONDS = 8


@pytest.fixture(scope="module")
def site(postgres_server: Postgres, valkey_server: Valkey, servers_folder: Path) -> Iterator[Site]:
    """A site that ends TLS itself, with certificates that it signs itself."""
    tls = {"TLS_PORT": str(free_port()), "TLS_ISSUER": "internal"}
    folder, address = servers_folder / "edge", "https://api.shop.example"
    with fresh_site(postgres_server, valkey_server, folder, API_BASE_URL=address, **tls) as found:
        yield found


@pytest.fixture(autouse=True)
def no_domains(site: Site) -> Iterator[None]:
    yield
    for name in listed(site):
        remove(site, name)
    wait_for("nothing left", lambda: admitted(site) == set(), WITHIN_SECONDS)


def on_database(site: Site, call: Callable[[Database], Awaitable[T]]) -> T:
    async def inside() -> T:
        database = await Database.open(site.settings["POSTGRES_DSN"], application="test")
        try:
            return await call(database)
        finally:
            await database.aclose()

    return asyncio.run(inside())


def add(site: Site, *names: str, shop: str = "tienda") -> None:
    async def inside(database: Database) -> None:
        tenant = (await open_shop(database, shop)).tenant
        for name in names:
            async with database.engine() as connection, connection.transaction():
                await add_domain(connection, tenant, name, actor="test")

    on_database(site, inside)


def remove(site: Site, *names: str) -> None:
    async def inside(database: Database) -> None:
        for name in names:
            async with database.engine() as connection, connection.transaction():
                await remove_domain(connection, name, actor="test")

    on_database(site, inside)


def listed(site: Site) -> list[str]:
    async def inside(database: Database) -> list[str]:
        async with database.engine() as connection:
            return [one.name for one in await domains(connection)]

    return on_database(site, inside)


def admin(site: Site) -> Admin:
    return Admin(site.settings["CADDY_ADMIN"])


def configuration(site: Site) -> Any:
    """All of Caddy's configuration, read by another program than ours."""
    transport = httpx2.HTTPTransport(uds=site.settings["CADDY_ADMIN"].removeprefix("unix/"))
    with httpx2.Client(transport=transport, base_url="http://localhost") as client:
        return client.get("/config/").json()


def admitted(site: Site) -> set[str]:
    """The domains that Caddy has routes for."""
    try:
        found = json.dumps(configuration(site))
    except httpx2.HTTPError:
        return {"away"}
    return {each.split('"')[0].split(":")[1] for each in found.split(f'"@id": "{MARK}')[1:]}


def serves(site: Site, name: str = NAME) -> bool:
    """Whether a name leads to us; a Caddy that is away or just changing over serves nobody."""
    try:
        return through(ask(site.public, "/healthz", host=name))
    except OSError:
        return False


class Said(NamedTuple):
    """How a command ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def typed(site: Site, *arguments: str) -> Said:
    """Run `nexus domains …`."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as wrong:
        code = main(["domains", *arguments], site.settings)
    return Said(code, out.getvalue(), wrong.getvalue())


def test_a_domain_is_served_while_a_shop_has_it_and_leaves_no_trace(site: Site) -> None:
    add(site, "other.example")  # makes the shop
    wait_for("the other", lambda: serves(site, "other.example"), WITHIN_SECONDS)
    before = configuration(site)
    assert ask(site.public, "/healthz", host=NAME).status == 404

    added = typed(site, "add", "WWW.Tienda.example.", "--shop", "tienda", "--json")
    assert added.returncode == 0, added.stderr
    said = json.loads(added.stdout)
    assert (said["name"], said["shop"], said["state"]) == (NAME, "tienda", "applied")
    assert said["dns"] == {"name": NAME, "type": "CNAME", "value": "api.shop.example"}
    assert serves(site)
    assert configuration(site) != before
    assert typed(site, "add", NAME, "--shop", "tienda").returncode == 0, "twice is fine"

    removed = typed(site, "remove", NAME)
    assert removed.returncode == 0, removed.stderr
    wait_for("it is gone", lambda: not serves(site), WITHIN_SECONDS)
    assert configuration(site) == before
    assert typed(site, "remove", NAME).returncode == 1


def test_a_domain_opens_what_the_public_door_opens_and_nothing_private(site: Site) -> None:
    add(site, NAME)
    wait_for("served", lambda: serves(site), WITHIN_SECONDS)

    for method, path, door in cases():
        answer = asked(site.public, path, method, host=NAME)
        if door in (INSIDE, CADDY):
            assert answer.status == 404, (path, answer)
            assert not through(answer), (path, answer)
            assert not any(secret in answer.text for secret in SECRETS)
            assert asked(site.private, path, method, host=NAME).status == 404
        else:
            assert through(answer), (path, answer)
    for odd in ("//metrics", "/api/../metrics", "/static/%2e%2e/metrics", "/METRICS", "/metrics/"):
        assert asked(site.public, odd, host=NAME).status == 404, odd
    for host in (f"{NAME}.evil.test", f"x.{NAME}", "tienda.example", f"{NAME}:80:80"):
        assert not through(ask(site.public, "/healthz", host=host)), host


def test_the_plain_listener_stays_plain_and_our_own_hosts_stay_apart(site: Site) -> None:
    add(site, NAME, "*.tienda.test")
    wait_for("served", lambda: serves(site), WITHIN_SECONDS)

    for server in configuration(site)["apps"]["http"]["servers"].values():
        port = server["listen"][0].rpartition(":")[2]
        assert ("tls_connection_policies" in server) == (port == site.settings["TLS_PORT"])
    for _, path, door in cases():
        if door != BOTH:
            api = ask(site.public, path, host="api.shop.example")
            app = ask(site.public, path, host="app.shop.example")
            assert not (through(api) and through(app)), path
    assert serves(site, "a.tienda.test")
    assert serves(site, f"{NAME.upper()}:8080")
    assert not serves(site, "tienda.test")
    assert not serves(site, "a.b.tienda.test")


def test_routes_come_back_after_a_reload_and_after_a_crash_of_caddy(site: Site) -> None:
    add(site, NAME)
    wait_for("served", lambda: serves(site), WITHIN_SECONDS)
    socket_path = site.settings["CADDY_ADMIN"].removeprefix("unix/")
    reload = [str(caddy()), "reload", "--config", str(HOME / "Caddyfile"), "--adapter", "caddyfile"]
    environment = dict(site.caddy.program.environment)
    forced = [*reload, "--force", "--address", f"unix/{socket_path}"]
    done = subprocess.run(forced, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    wait_for("back after the reload", lambda: serves(site), WITHIN_SECONDS)

    site.caddy.kill()
    add(site, "meanwhile.example")
    site.caddy.restart()
    wait_for("back after the crash", lambda: serves(site), WITHIN_SECONDS)
    wait_for("and what came meanwhile", lambda: serves(site, "meanwhile.example"), WITHIN_SECONDS)


def test_writers_side_by_side_lose_nothing(site: Site) -> None:
    """A stranger who writes routes of his own, a second gateway, and the one that runs."""
    add(site, NAME)
    wait_for("served", lambda: serves(site), WITHIN_SECONDS)
    before = configuration(site)
    key = next(iter(before["apps"]["http"]["servers"]))
    path = f"{SERVERS}/{key}/routes"
    names = [f"shop-{number}.example" for number in range(12)]
    strangers = [f"stranger-{number}" for number in range(12)]

    def stranger() -> None:
        """Be patient: each write of others may close his connection in the middle."""
        transport = httpx2.HTTPTransport(uds=site.settings["CADDY_ADMIN"].removeprefix("unix/"))
        with httpx2.Client(transport=transport, base_url="http://localhost", timeout=30) as client:
            left = list(strangers)
            while left:
                route = {"@id": left[0], "match": [{"host": [left[0]]}], "handle": []}
                with suppress(httpx2.TransportError):
                    if client.get(f"/id/{left[0]}").status_code == 200 or (
                        client.post(path, json=route).status_code == 200
                    ):
                        left.pop(0)

    async def second_gateway(database: Database) -> None:
        known = Domains()
        edge = Edge(load_settings(site.settings), database, known)
        await known.read(database)
        while not done.is_set() or admitted(site) != {NAME, *names}:
            try:
                await edge.reconcile()
            except (EdgeAway, EdgeMoved):
                await asyncio.sleep(0)

    done = threading.Event()
    threads = [
        threading.Thread(target=stranger),
        threading.Thread(target=on_database, args=(site, second_gateway)),
    ]
    for thread in threads:
        thread.start()
    for name in names:
        add(site, name)
    threads[0].join()
    done.set()
    threads[1].join(30)
    assert not threads[1].is_alive()

    wait_for("all domains", lambda: admitted(site) == {NAME, *names}, WITHIN_SECONDS)
    routes = configuration(site)["apps"]["http"]["servers"][key]["routes"]
    assert [route["@id"] for route in routes if "stranger" in route.get("@id", "")] == strangers
    remove(site, NAME, *names)
    wait_for("all gone", lambda: admitted(site) == set(), WITHIN_SECONDS)
    transport = httpx2.HTTPTransport(uds=site.settings["CADDY_ADMIN"].removeprefix("unix/"))
    with httpx2.Client(transport=transport, base_url="http://localhost") as client:
        left = list(strangers)
        while left:  # patiently, as above: a write may close the connection of the next
            with suppress(httpx2.TransportError):
                if client.delete(f"/id/{left[0]}").status_code in (200, 404):
                    left.pop(0)


def handshake(site: Site, name: str) -> dict[str, Any]:
    """Shake hands as a browser does that trusts Caddy's own authority; return the certificate."""
    authority = list(Path(site.settings["NEXUS_STATE_DIR"]).parent.glob("**/root.crt"))
    context = ssl.create_default_context(cafile=authority[0] if authority else None)
    if not authority:  # the first handshake of all makes it
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    port = int(site.settings["TLS_PORT"])
    with (
        socket.create_connection(("127.0.0.1", port), 10) as connection,
        context.wrap_socket(connection, server_hostname=name) as secured,
    ):
        secured.sendall(f"GET /metrics HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
        assert secured.recv(64).startswith(b"HTTP/1.1 404")
        secured.sendall(f"GET /healthz HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
        found = secured.getpeercert()
        return dict(found) if found else {}


def test_a_known_name_gets_a_certificate_and_a_stranger_no_handshake(site: Site) -> None:
    with pytest.raises(ssl.SSLError):
        handshake(site, NAME)
    names = {NAME, "*.tienda.test", "xn--and-6ma2c.example"}
    add(site, *names)
    # Each of them changes Caddy's configuration, which may close a connection that is just made.
    wait_for("all served", lambda: admitted(site) == names and serves(site), WITHIN_SECONDS)

    handshake(site, "api.shop.example")
    for name in (NAME, "a.tienda.test", "xn--and-6ma2c.example", "app.shop.example"):
        assert ("DNS", name) in handshake(site, name)["subjectAltName"]
    for stranger in ("evil.test", f"x.{NAME}", "tienda.test", "a.b.tienda.test", "127.0.0.1"):
        with pytest.raises(ssl.SSLError):
            handshake(site, stranger)


def test_a_stranger_costs_no_question_to_the_database(site: Site) -> None:
    path = "/internal/tls-ask?domain="
    add(site, NAME)
    wait_for("served", lambda: serves(site), WITHIN_SECONDS)
    assert ask(site.private, path + NAME).status == 200
    assert ask(site.private, path + "evil.test").status == 404
    assert ask(site.private, "/internal/tls-ask").status == 404
    assert ask(site.public, path + NAME, host=NAME).status == 404


def test_nobody_can_have_certificates_made_for_names_without_end(site: Site) -> None:
    add(site, "*.tienda.test", "www.tienda.test")
    wait_for("served", lambda: serves(site, "x.tienda.test"), WITHIN_SECONDS)
    path = "/internal/tls-ask?domain="
    invented = [ask(site.private, f"{path}n{n}.tienda.test").status for n in range(NEW_NAMES + 5)]
    assert invented.count(200) in (NEW_NAMES, NEW_NAMES - 1), "one may have shaken hands before"
    assert invented[-5:] == [429] * 5
    assert ask(site.private, f"{path}n0.tienda.test").status == 200, "it was among the first"
    assert ask(site.private, f"{path}www.tienda.test").status == 200, "it has a row of its own"


def test_an_hour_later_new_names_are_admitted_again() -> None:
    invented = Invented(limit=1, period_seconds=60)
    assert invented.admit("a.tienda.test", 0)
    assert not invented.admit("b.tienda.test", 59)
    assert invented.admit("b.tienda.test", 61)
    assert invented.admit("b.otra.test", 61)


def test_what_cannot_be_a_domain_is_refused_with_a_remedy(site: Site) -> None:
    add(site, NAME, "*.familia.example")
    for wrong, told in (
        (["add", "*.com", "--shop", "tienda"], "*.tienda.com"),
        (["add", "https://a.example/x", "--shop", "tienda"], "the name alone: a.example"),
        (["add", "api.shop.example", "--shop", "tienda"], "this installation itself"),
        (["add", "*.shop.example", "--shop", "tienda"], "api.shop.example, app.shop.example"),
        (["add", "b.localhost", "--shop", "tienda"], "not on the internet"),
        (["add", "b.example", "--shop", "nobody"], "there is no shop 'nobody'"),
        (["add", "--shop", "tienda"], "a domain is missing"),
    ):
        said = typed(site, *wrong)
        assert said.returncode == 2, (wrong, said)
        assert told in said.stderr, (wrong, said.stderr)

    for name in (NAME, "*.tienda.example", "x.familia.example"):
        with pytest.raises(LookupError):
            add(site, name, shop="vecina")
    add(site, "y.x.familia.example", "familia.example", shop="vecina")
    dry = typed(site, "add", "tienda-ñandú.com.ar", "--shop", "tienda", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "xn--tienda-and-z9a5i.com.ar.  ALIAS  api.shop.example." in dry.stdout
    assert "xn--tienda-and-z9a5i.com.ar" not in listed(site)


def test_the_list_shows_names_as_people_write_them_and_says_when_the_edge_is_away(
    site: Site,
) -> None:
    assert "No domains yet" in typed(site).stdout
    add(site, "xn--tienda-and-z9a5i.com.ar")
    wait_for("served", lambda: serves(site, "xn--tienda-and-z9a5i.com.ar"), WITHIN_SECONDS)
    wait_for("noted", lambda: "applied" in typed(site).stdout, WITHIN_SECONDS)
    assert "tienda-ñandú.com.ar" in typed(site).stdout

    async def long_ago(database: Database) -> None:
        async with database.engine() as connection:
            await connection.execute("UPDATE edge SET reached_at = reached_at - interval '1 hour'")

    on_database(site, long_ago)
    (one,) = json.loads(typed(site, "--json").stdout)
    assert (one["state"], one["unicode"]) == ("edge away", "tienda-ñandú.com.ar")
