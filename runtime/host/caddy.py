"""What the Caddyfile needs to know, made from the settings: doors, known hosts, upstream, TLS."""

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from runtime.host.layout import Layout
from runtime.host.ports import SOCKET_FILE, has_ipv6, socket_file
from runtime.settings import Settings

PORT = r"(:\d+)?"
LOCALHOST = r"([a-z0-9-]+\.)*localhost"
ADDRESS = r"\d+\.\d+\.\d+\.\d+|\[[0-9a-f:.]+\]"
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")
TUNED = (
    *(
        "UPSTREAM_TIMEOUT",
        "UPSTREAM_TRY",
        "UPSTREAM_REFRESH",
        "UPSTREAM_KEEPALIVE",
        "UPSTREAM_MODE",
        "GATEWAY_HOST",
        "GATEWAY_PORT",
    ),
    *("DNS_RESOLVER", "TRUSTED_PROXIES", "CADDY_ADMIN", "CADDY_GRACE", "PUBLIC_BIND"),
    *("PRIVATE_BIND", "PRIVATE_HOSTS", "APP_HOSTS", "API_HOSTS", "TLS_BIND", "TLS_ASK"),
    "GOGC",
)
COLLECTED_AT_PERCENT = "400"
"""Caddy's heap may grow to five times of what is alive before it is collected, instead of twice:
27 MB more under full load, and an eighth more webhooks per second."""
INHERITED = "fd/"
"""Before the number of an inherited socket where an address may be one, as Caddy writes it."""
ADMIN_SOCKET = "caddy-admin.sock"
"""As the Caddyfile says; in the folder that `nexus edge` runs Caddy in."""


def caddy_environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of Caddy: no secret of ours is in it.

    What is set in `environ` under the Caddyfile's own names wins over what is worked out here.
    """
    app, api = known_hosts(settings, environ)
    bind = " ".join(addresses(everywhere=open_to_all(settings, environ)))
    told = environ.get("PUBLIC_BIND") or bind
    worked_out = {
        "PORT": str(settings.port),
        "NEXUS_PRIVATE_PORT": str(settings.private_port),
        "PUBLIC_BIND": bind,
        "APP_HOSTS": f"`{app}`",
        "API_HOSTS": f"`{api}`",
        "GOGC": COLLECTED_AT_PERCENT,
        **upstream(settings),
        # An inherited socket is the one of the plain door; TLS is at a port of its own.
        **own_tls(settings, bind if told.startswith(INHERITED) else told),
    }
    passed_on = {name: environ[name] for name in PASSED_ON if name in environ}
    tuned = {name: environ[name] for name in TUNED if environ.get(name)}
    return {**passed_on, **worked_out, **tuned}


def addresses(*, everywhere: bool) -> list[str]:
    """Return where the public door listens, in both families where the machine has both."""
    if not has_ipv6():
        return ["0.0.0.0" if everywhere else "127.0.0.1"]  # noqa: S104 - asked for
    return ["[::]"] if everywhere else ["127.0.0.1", "[::1]"]  # [::] hears both


def open_to_all(settings: Settings, environ: Mapping[str, str]) -> bool:
    """Say whether other machines may reach the public door.

    In production; and where a platform gives the port. Not what `nexus up` starts on a desk.
    """
    return settings.production or ("PORT" in environ and "NEXUS_SUPERVISED" not in environ)


def known_hosts(settings: Settings, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return which Host headers are ours, as regular expressions: for pages, and for the API.

    Those of `own_hosts`; locally also localhost, names below it, and addresses.
    """
    local = [] if settings.production else [LOCALHOST, ADDRESS]
    app, api = own_hosts(settings, environ)
    return pattern(app, local), pattern(api, local)


def own_hosts(settings: Settings, environ: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return the names of this installation: for pages, and for the API.

    The host of API_BASE_URL; when that is `api.…`, pages live at `app.…`; and ALLOWED_HOSTS, for
    both. Platforms' own names for us count as allowed.
    """
    named = (settings.allowed_hosts or "").replace(",", " ").split()
    named += [value for name in ("RENDER_EXTERNAL_HOSTNAME",) if (value := environ.get(name))]
    app, api = list(named), list(named)
    host = urlsplit(settings.api_base_url or "").hostname
    if host:
        api.append(host)
        app.append("app." + host.removeprefix("api.") if host.startswith("api.") else host)
    return app, api


def pattern(hosts: list[str], others: list[str]) -> str:
    """Return a regular expression for the Host header: these hosts, and what others match."""
    choices = [*map(re.escape, hosts), *others]
    return rf"(?i)^({'|'.join(choices) or '-'}){PORT}$"


def upstream(settings: Settings) -> dict[str, str]:
    """Return how to find the gateway: an address stays, a name is asked for again and again.

    An address is `unix/PATH` too.
    """
    address = settings.gateway_address
    if (file := socket_file(address)) is not None:
        quoted = f"`{SOCKET_FILE}{file}`"  # one word to Caddy, though a folder's name hold spaces
        return {"UPSTREAM_MODE": "static", "GATEWAY_ADDR": quoted}
    host, _, port = address.rpartition(":")
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        if host not in ("localhost", ""):
            resolver = {"DNS_RESOLVER": found} if (found := first_resolver()) else {}
            return {"UPSTREAM_MODE": "dns", "GATEWAY_HOST": host, "GATEWAY_PORT": port, **resolver}
    return {"UPSTREAM_MODE": "static", "GATEWAY_ADDR": address}


def own_tls(settings: Settings, bind: str) -> dict[str, str]:
    """Return what Caddy needs to end TLS itself; nothing when others do that before it.

    A certificate is made in the first handshake for a name, if the gateway knows it. Nothing of
    this listens on port 80: the authority's question is answered on the TLS port.
    """
    if settings.tls_port is None:
        return {}
    ask = f"http://127.0.0.1:{settings.private_port}/internal/tls-ask"
    return {
        "TLS": "on",
        "TLS_PORT": str(settings.tls_port),
        "TLS_BIND": bind,
        "TLS_ASK": ask,
        "TLS_ISSUER": settings.tls_issuer,
    }


def admin_address(settings: Settings) -> str:
    """Return where Caddy's admin API is, as others than Caddy find it: `unix/PATH` or host:port."""
    given = (settings.caddy_admin or f"unix/{ADMIN_SOCKET}").partition("|")[0]
    if not given.startswith("unix/"):
        return given.removeprefix("tcp/")
    folder = Layout.at(settings.state_dir).root / "caddy"  # where `nexus edge` runs Caddy
    return f"unix/{folder / given.removeprefix('unix/')}"


def first_resolver(path: Path = Path("/etc/resolv.conf")) -> str | None:
    """Return the machine's name server (Docker: 127.0.0.11)."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.split()[1] for line in lines if line.startswith("nameserver ")), None)
