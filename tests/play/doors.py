"""Look at a running deployment as its visitors do, and from inside."""

import json
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NamedTuple

from tests.play.deployment import PRIVATE_PORT, SECRETS, Deployment

TOKEN = {"Authorization": f"Bearer {SECRETS['INTERNAL_API_TOKEN']}"}
PRIVATE_PATHS = ("/functions/hello", "/internal/tls-ask", "/metrics", "/readyz")
STRANGERS = ("localhost", "127.0.0.1", "evil.example", "api.shop.example.evil.example")
LISTENING = "0A"


class Answer(NamedTuple):
    """What came back; status 0: nobody answered."""

    status: int
    text: str = ""


def ask(port: int, path: str, host: str, method: str = "GET", **more: str) -> Answer:
    """Ask a door."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    body = "{}" if method == "POST" else None
    headers = {"Host": host, **TOKEN, **more}
    if body:
        headers["Content-Type"] = "application/json"
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return Answer(response.status, response.read(100_000).decode(errors="replace"))
    except (OSError, HTTPException):
        return Answer(0)
    finally:
        connection.close()


def serves(deployment: Deployment) -> bool:
    """Say whether the platform would send visitors, and a worker is there for them."""
    door = ask(deployment.public_port, deployment.health_path, deployment.health_host)
    return door.status == 200 and ask(PRIVATE_PORT, "/readyz", "127.0.0.1").status == 200


def look(deployment: Deployment) -> Iterator[str]:
    """Yield what is not as it should be."""
    port, pages, api = deployment.public_port, deployment.pages_host, deployment.api_host
    open_to_all = [("/login", pages), ("/api/openapi.json", api), ("/healthz", api)]
    for path, host in open_to_all:
        if (answer := ask(port, path, host)).status != 200:
            yield f"{path} of {host} answers {answer.status} from outside"
    for path in PRIVATE_PATHS:
        for host in (pages, api, deployment.health_host, *STRANGERS):
            for method in ("GET", "POST"):
                if (answer := ask(port, path, host, method)).status != 404:
                    yield f"{method} {path} of {host} answers {answer.status} from outside"
    for host in STRANGERS:
        if (answer := ask(port, "/login", host)).status != 404:
            yield f"{host}, who is nobody, is answered {answer.status}"
    unsigned = ask(port, "/webhooks/whatsapp/1", api, "POST")
    if unsigned.status not in (401, 403, 404):
        yield f"a webhook that nobody signed is answered {unsigned.status}"
    if ask(PRIVATE_PORT, "/metrics", "127.0.0.1", Authorization="").status != 401:
        yield "the private door asks for no token"
    hello = ask(PRIVATE_PORT, "/functions/hello", "127.0.0.1", "POST")
    if hello.status != 200 or json.loads(hello.text) != "Hello, world!":
        yield f"hello answers {hello.status}: {hello.text[:200]}"
    yield from _ports(deployment)
    yield from _caddy_knows_no_secret()


def _ports(deployment: Deployment) -> Iterator[str]:
    """Others can reach what the file opens, and no other port."""
    found = listening_to_all()
    if extra := found - {deployment.public_port} - deployment.open_ports:
        yield f"ports {sorted(extra)} are open to others"
    if missing := ({deployment.public_port} | deployment.open_ports) - found:
        yield f"ports {sorted(missing)} are closed to others"


def listening_to_all() -> set[int]:
    """Return the ports on which somebody listens on more than loopback."""
    found = set()
    for family, loopback in (("tcp", "7F"), ("tcp6", "00000000000000000000000001000000")):
        for line in Path(f"/proc/net/{family}").read_text().splitlines()[1:]:
            fields = line.split()
            address, _, port = fields[1].partition(":")
            local = address.endswith(loopback) if family == "tcp" else address == loopback
            if fields[3] == LISTENING and not local:
                found.add(int(port, 16))
    return found


def _caddy_knows_no_secret() -> Iterator[str]:
    """The process that everybody talks to has none of our secrets in its environment."""
    found = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if Path(process / "exe").readlink().name != "caddy":
                continue
            environment = (process / "environ").read_text(errors="replace")
        except OSError:
            continue
        found += 1
        for name, secret in SECRETS.items():
            if secret in environment:
                yield f"Caddy's environment holds {name}"
    if not found:
        yield "no Caddy runs"
