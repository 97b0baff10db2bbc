"""Which hosts are known, where the doors are, and how Caddy finds the gateway."""

import re

import pytest

from runtime.host.caddy import admin_address, caddy_environment, known_hosts
from runtime.host.layout import HOME
from runtime.settings import load_settings

NEEDED = {
    "NEXUS_ENV": "production",
    "POSTGRES_DSN": "postgresql://db/nexus",
    "REDIS_URL": "redis://bells",
    "CHROMA_URL": "http://vectors:8000",
    "ENCRYPTION_KEY": "bm90LWEtc2VjcmV0LWp1c3QtZm9yLXRlc3RzLTAxMjM=",
    "INTERNAL_API_TOKEN": "i" * 40,
    "ADMIN_TOKEN": "a" * 40,
}
PRODUCTION = {**NEEDED, "API_BASE_URL": "https://api.shop.example"}


def knows(pattern: str, host: str) -> bool:
    return re.search(pattern, host) is not None


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8080", "app.localhost", "LOCALHOST", "127.0.0.1:80", "[::1]:8080"],
)
def test_locally_this_machines_names_are_known(host: str) -> None:
    app, api = known_hosts(load_settings({}), {})
    assert knows(app, host)
    assert knows(api, host)


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "xlocalhost", "", "-"])
def test_locally_no_other_name_is_known(host: str) -> None:
    app, api = known_hosts(load_settings({}), {})
    assert not knows(app, host.replace("-", "evil"))
    assert not knows(api, host)


def test_in_production_the_app_lives_beside_the_api() -> None:
    app, api = known_hosts(load_settings(PRODUCTION), PRODUCTION)
    assert knows(app, "app.shop.example")
    assert not knows(app, "api.shop.example")
    assert knows(api, "API.shop.example:443")
    assert not knows(api, "apiXshop.example")
    assert not knows(api, "localhost")


def test_more_hosts_can_be_allowed_for_both() -> None:
    environ = {**PRODUCTION, "ALLOWED_HOSTS": "one.example, two.example"}
    app, api = known_hosts(load_settings(environ), environ)
    assert knows(app, "two.example")
    assert knows(api, "one.example")


def test_production_without_an_address_knows_nobody() -> None:
    app, api = known_hosts(load_settings(NEEDED), {})
    assert not any(
        knows(each, host) for each in (app, api) for host in ("", "localhost", "x.example")
    )


def test_a_desk_is_closed_to_other_machines_and_a_platform_is_open() -> None:
    def bound(environ: dict[str, str]) -> str:
        return caddy_environment(load_settings(environ), environ)["PUBLIC_BIND"]

    assert "127.0.0.1" in bound({})
    assert "127.0.0.1" in bound({"PORT": "9000", "NEXUS_SUPERVISED": "1"})
    assert "127.0.0.1" not in bound({"PORT": "9000"})


def test_an_address_stays_and_a_name_is_asked_for() -> None:
    fixed = caddy_environment(load_settings({"GATEWAY_ADDR": "10.0.0.7:8000"}), {})
    assert (fixed["UPSTREAM_MODE"], fixed["GATEWAY_ADDR"]) == ("static", "10.0.0.7:8000")
    file = caddy_environment(load_settings({"GATEWAY_ADDR": "unix//run/a b:c.sock"}), {})
    beside = caddy_environment(load_settings({"GATEWAY_ADDR": "unix/a.sock"}), {})
    assert beside["GATEWAY_ADDR"] == f"`unix/{HOME / 'a.sock'}`"
    assert (file["UPSTREAM_MODE"], file["GATEWAY_ADDR"]) == ("static", "`unix//run/a b:c.sock`")
    named = caddy_environment(load_settings({"GATEWAY_ADDR": "gateway:8000"}), {})
    assert (named["UPSTREAM_MODE"], named["GATEWAY_HOST"]) == ("dns", "gateway")


def test_how_often_caddy_collects_its_garbage_can_be_set() -> None:
    def collected(environ: dict[str, str]) -> str:
        return caddy_environment(load_settings(environ), environ)["GOGC"]

    assert (collected({}), collected({"GOGC": "100"})) == ("400", "100")


def test_caddy_gets_no_secret() -> None:
    environ = {"ADMIN_TOKEN": "hush", "POSTGRES_DSN": "hush", "PATH": "/bin"}
    assert "hush" not in caddy_environment(load_settings(environ), environ).values()


def test_caddy_ends_tls_only_where_it_is_told_to() -> None:
    plain = caddy_environment(load_settings(PRODUCTION), PRODUCTION)
    assert not [name for name in plain if name.startswith("TLS")]
    environ = {**PRODUCTION, "TLS_PORT": "443", "NEXUS_PRIVATE_PORT": "9001"}
    found = caddy_environment(load_settings(environ), environ)
    assert (found["TLS"], found["TLS_PORT"], found["TLS_ISSUER"]) == ("on", "443", "acme")
    assert found["TLS_BIND"] == found["PUBLIC_BIND"]
    assert found["TLS_ASK"] == "http://127.0.0.1:9001/internal/tls-ask"
    elsewhere = {**environ, "PUBLIC_BIND": "10.0.0.7"}
    assert caddy_environment(load_settings(environ), elsewhere)["TLS_BIND"] == "10.0.0.7"
    # A socket that the supervisor holds is the plain door's, and not that of TLS as well.
    held = {**environ, "PUBLIC_BIND": "fd/7"}
    assert caddy_environment(load_settings(environ), held)["TLS_BIND"] == found["PUBLIC_BIND"]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("", "unix//state/caddy/caddy-admin.sock"),
        ("unix/other.sock|0600", "unix//state/caddy/other.sock"),
        ("unix//run/caddy.sock", "unix//run/caddy.sock"),
        ("127.0.0.1:2019", "127.0.0.1:2019"),
        ("tcp/127.0.0.1:2019", "127.0.0.1:2019"),
    ],
)
def test_the_gateway_finds_the_admin_api_where_caddy_opens_it(given: str, found: str) -> None:
    settings = load_settings({"NEXUS_STATE_DIR": "/state", "CADDY_ADMIN": given})
    assert admin_address(settings) == found
