"""Every route, walked from outside through the real Caddy: in by its own door, by no other.

Who adds a route declares its door here; without that, the first test fails.
"""

import asyncio
import itertools
import socket
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import asyncpg
import pytest
from starlette.routing import Route

from gateway.app import PRIVATE, PUBLIC
from gateway.doors import is_private
from runtime.host.postgres import Postgres
from runtime.host.valkey import Valkey
from tests.sites import INTERNAL_TOKEN, Site, fresh_site

PAGES, API, BOTH, INSIDE, CADDY = "pages", "api", "both", "inside", "caddy"
"""CADDY: inside too, but asked by Caddy, which has no token."""

DOORS = {
    "/": PAGES,
    "/invocations": PAGES,
    "/invocations/{id}": PAGES,
    "/invocations/{id}/cancel": PAGES,
    "/invocations/{id}/replay": PAGES,
    "/alerts/{number:int}/resolve": PAGES,
    "/live": PAGES,
    "/oddities": PAGES,
    "/phone": PAGES,
    "/phone/{shop}": PAGES,
    "/login": PAGES,
    "/logout": PAGES,
    "/static/{name}": PAGES,
    "/healthz": BOTH,
    "/api/openapi.json": API,
    "/functions/{name}": INSIDE,
    "/functions/{name}/invocations/{id}": INSIDE,
    "/internal/bells": INSIDE,
    "/internal/scale": INSIDE,
    "/internal/tls-ask": CADDY,
    "/metrics": INSIDE,
    "/readyz": INSIDE,
}
FILLED = {
    "{name}": "hello",
    "{id}": "inv_0000000000000",
    "{number:int}": "1",
}
ROUTES = [route for route in (*PUBLIC, *PRIVATE) if isinstance(route, Route)]
SECRETS = ("nexus_info", "Hello, ", '"checks"', "inv_0")
"""What only an answer from behind the private door holds."""


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    text: str


@pytest.fixture(scope="module")
def doors(postgres_server: Postgres, valkey_server: Valkey, servers_folder: Path) -> Iterator[Site]:
    folder, address = servers_folder / "doors", "https://api.shop.example"
    with fresh_site(postgres_server, valkey_server, folder, API_BASE_URL=address) as found:
        yield found


def ask(
    origin: str, target: str, method: str = "GET", host: str | None = None, **headers: str
) -> Answer:
    """Send a request exactly as written; no client library tidies it up."""
    parts = urlsplit(origin)
    assert parts.port is not None
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host or parts.netloc}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if method == "POST":
        lines += ["Content-Type: application/json", "Content-Length: 2"]
    request = "\r\n".join(lines) + "\r\n\r\n" + ("{}" if method == "POST" else "")
    with socket.create_connection(("127.0.0.1", parts.port), 10) as connection:
        connection.sendall(request.encode("latin-1"))
        response = HTTPResponse(connection, method=method)
        response.begin()
        text = response.read(100_000).decode(errors="replace")
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, text)


def with_token(origin: str, target: str, method: str = "GET", **more: str) -> Answer:
    return ask(origin, target, method, **more, Authorization=f"Bearer {INTERNAL_TOKEN}")


def path_of(route: Route) -> str:
    path = route.path
    for name, value in FILLED.items():
        path = path.replace(name, value)
    return path


def cases() -> list[tuple[str, str, str]]:
    """Method, path and door of every route."""
    return [
        (method, path_of(route), DOORS[route.path])
        for route in ROUTES
        for method in sorted(route.methods or ())
        if method != "HEAD" and route.path in DOORS
    ]


def through(answer: Answer) -> bool:
    """Whether our application answered, and not Caddy."""
    return "x-request-id" in answer.headers


def test_every_route_has_a_declared_door() -> None:
    assert len(ROUTES) == len((*PUBLIC, *PRIVATE))
    assert {route.path for route in ROUTES} == set(DOORS)
    for path, door in DOORS.items():
        assert is_private(path) == (door in (INSIDE, CADDY)), path


@pytest.mark.parametrize(("method", "path", "door"), cases())
def test_a_route_opens_from_outside_only_when_it_is_public(
    doors: Site, method: str, path: str, door: str
) -> None:
    answer = with_token(doors.public, path, method)

    if door in (INSIDE, CADDY):
        assert answer.status == 404
        assert not through(answer)
        assert not any(secret in answer.text for secret in SECRETS)
    else:
        assert through(answer), answer


@pytest.mark.parametrize(("method", "path", "door"), cases())
def test_inside_a_route_asks_for_the_token(doors: Site, method: str, path: str, door: str) -> None:
    without = ask(doors.private, path, method)
    wrong = ask(doors.private, path, method, Authorization="Bearer " + "w" * 40)

    if door == INSIDE:
        assert [without.status, wrong.status] == [401, 401]
        assert with_token(doors.private, path, method).status != 401
    elif door == CADDY:
        assert [without.status, wrong.status] == [404, 404]
        assert ask(doors.private, f"{path}?domain=api.shop.example").status == 200
    elif door == PAGES:
        assert without.status == 404
        assert not through(without)


@pytest.mark.parametrize(("method", "path", "door"), cases())
def test_pages_and_api_have_hosts_of_their_own(
    doors: Site, method: str, path: str, door: str
) -> None:
    app = ask(doors.public, path, method, host="app.shop.example")
    api = ask(doors.public, path, method, host="api.shop.example")

    assert through(app) == (door in (PAGES, BOTH)), app
    assert through(api) == (door in (API, BOTH)), api


HIDDEN = [
    "functions/hello",
    "metrics",
    "readyz",
    "internal/x",
    "internal/bells",
    "internal/scale",
    "internal/tls-ask",
]
SPELLINGS = [
    "/{}",
    "//{}",
    "/./{}",
    "/.//{}",
    "/api/../{}",
    "/api/..//{}",
    "/static/../{}",
    "/static/..%2f{}",
    "/static/%2e%2e/{}",
    "/static/%2e%2e%2f{}",
    "/static/.%2e/{}",
    "/static/%252e%252e/{}",
    "/invocations/..;/{}",
    "/invocations/x/../../{}",
    "/healthz/../{}",
    "/healthz;/../{}",
    "/healthz%2f..%2f{}",
    "/healthz/..%5c{}",
    "/healthz\\..\\{}",
    "\\{}",
    "/%2f{}",
    "/%5c{}",
    "/{}/",
    "/{}/.",
    "/{}%00",
    "/{}%20",
    "/{}%0a",
    "/{};x=1",
    "/{}?",
    "/{}?/healthz",
    "/{}#/healthz",
    "/{}.",
    "/{}..",
    "http://localhost/{}",
    "http://127.0.0.1/{}",
    "http://localhost/healthz/../{}",
]


def odd(path: str) -> list[str]:
    """Other ways to write a path."""
    first = path[0]
    letters = [path, path.upper(), path.title(), f"%{ord(first):02x}{path[1:]}"]
    letters += [path.replace("/", "%2f"), path.replace("/", "//"), f"%25{ord(first):02x}{path[1:]}"]
    return [form.format(each) for form in SPELLINGS for each in dict.fromkeys(letters)]


@pytest.mark.parametrize("path", HIDDEN)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_spelling_leads_from_outside_to_what_is_private(
    doors: Site, path: str, method: str
) -> None:
    for target in odd(path):
        answer = with_token(doors.public, target, method)
        assert answer.status in (400, 401, 404, 405, 308), (target, answer)
        assert not any(secret in answer.text for secret in SECRETS), (target, answer)
        assert answer.status != 401, (target, "the private door was reached")


def test_nothing_was_stored_by_all_of_this(doors: Site) -> None:
    async def count() -> int:
        connection = await asyncpg.connect(doors.settings["POSTGRES_DSN"])
        try:
            found: int = await connection.fetchval(
                "SELECT count(*) FROM invocation i JOIN function f ON f.fn = i.fn"
                " WHERE f.name = 'hello'"
            )
            return found
        finally:
            await connection.close()

    before = asyncio.run(count())
    for target in itertools.chain(odd("functions/hello"), ["/functions/hello"]):
        with_token(doors.public, target, "POST")

    assert asyncio.run(count()) == before


@pytest.mark.parametrize(
    "header",
    [
        {"Nexus_Door": "private"},
        {"X_Original_URL": "/functions/hello"},
        {"X_Rewrite_URL": "/functions/hello"},
        {"X_Forwarded_Prefix": "/functions/hello"},
        {"X_HTTP_Method_Override": "POST"},
        {"X_Forwarded_Host": "127.0.0.1"},
        {"X_Forwarded_For": "127.0.0.1"},
        {"X_Internal_Token": INTERNAL_TOKEN},
    ],
)
def test_no_header_opens_the_private_door(doors: Site, header: dict[str, str]) -> None:
    for path in ("/functions/hello", "/metrics", "/readyz", "/healthz", "/login"):
        answer = with_token(doors.public, path, **header)
        assert not any(secret in answer.text for secret in SECRETS), (path, answer)
        assert answer.status == (404 if is_private(path) else 200), (path, answer)


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "localhost.evil.test",
        "evil.test:80",
        "xlocalhost",
        "localhost@evil.test",
        "app.shop.example.evil.test",
        "shop.example",
        "api.localhost.",
        "127.0.0.1.evil.test",
        "localhost:80:80",
        "LOCALHOST.evil",
        "%6cocalhost",
    ],
)
def test_an_unknown_host_gets_nothing(doors: Site, host: str) -> None:
    for path in ("/", "/login", "/healthz", "/api/openapi.json", "/functions/hello", "/metrics"):
        for origin in (doors.public, doors.private):
            answer = with_token(origin, path, host=host)
            assert answer.status in (400, 404), (origin, path, answer)
            assert not through(answer), (origin, path, answer)


def test_the_private_site_knows_loopback_names_only(doors: Site) -> None:
    assert with_token(doors.private, "/metrics", host="127.0.0.1").status == 200
    assert with_token(doors.private, "/metrics", host="nexus.evil.test").status == 404


def test_hello_answers_by_the_right_door(doors: Site) -> None:
    assert with_token(doors.private, "/functions/hello", "POST").text == '"Hello, world!"'


def test_caddy_says_nothing_about_itself_or_us(doors: Site) -> None:
    for origin, path in ((doors.public, "/nowhere"), (doors.public, "/login")):
        headers = ask(origin, path).headers
        assert "server" not in headers
        assert "via" not in headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
