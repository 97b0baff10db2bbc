"""A wrong setting is one line that names the variable and the remedy."""

import pytest

from runtime.errors import ConfigurationError
from runtime.registry import Registry
from runtime.settings import REQUIRED_IN_PRODUCTION, load_settings
from runtime.settings import Settings as AllSettings
from runtime.worker import work

COMPLETE = {name: "x" * 40 for name in REQUIRED_IN_PRODUCTION} | {"NEXUS_ENV": "production"}


def test_nothing_set_means_the_defaults() -> None:
    settings = load_settings({})
    assert (settings.environment, settings.port, settings.postgres_dsn) == ("local", 8080, None)


def test_an_empty_value_counts_as_not_set() -> None:
    assert load_settings({"PORT": ""}).port == 8080


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"NEXUS_LEASE_SECOND": "3"}, "did you mean NEXUS_LEASE_SECONDS"),
        ({"PORT": "eighty"}, "PORT"),
        ({"PORT": "70000"}, "PORT"),
        ({"NEXUS_ENV": "prod"}, "NEXUS_ENV"),
        ({"NEXUS_LEASE_SECONDS": "0"}, "NEXUS_LEASE_SECONDS"),
    ],
)
def test_a_wrong_one_is_named(environ: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        load_settings(environ)


@pytest.mark.parametrize("missing", REQUIRED_IN_PRODUCTION)
def test_production_refuses_to_guess(missing: str) -> None:
    environ = {name: value for name, value in COMPLETE.items() if name != missing}
    with pytest.raises(ConfigurationError, match=f"needs {missing}:"):
        load_settings(environ)
    assert load_settings(COMPLETE).production


def test_production_may_run_servers_itself_where_that_is_said() -> None:
    servers = {"POSTGRES_DSN", "REDIS_URL", "CHROMA_URL"}
    environ = {name: value for name, value in COMPLETE.items() if name not in servers}
    settings = load_settings({**environ, "NEXUS_EMBEDDED": "postgres, redis,chroma"})
    assert (settings.production, settings.postgres_dsn) == (True, None)
    with pytest.raises(ConfigurationError, match="needs CHROMA_URL:"):
        load_settings({**environ, "NEXUS_EMBEDDED": "postgres,redis"})
    with pytest.raises(ConfigurationError, match="'chrome' is none of postgres, redis, chroma"):
        load_settings({**environ, "NEXUS_EMBEDDED": "postgres,redis,chrome"})


def test_programs_that_need_no_secret_are_not_asked_for_one() -> None:
    assert load_settings({"NEXUS_ENV": "production"}, keyless=True).production


def test_what_a_platform_says_about_itself_is_understood() -> None:
    settings = load_settings(
        {"CHROMA_URL": "chroma:8001", "RENDER_EXTERNAL_URL": "https://nexus.onrender.com"}
    )
    assert settings.chroma_url == "http://chroma:8001"
    assert settings.api_base_url == "https://nexus.onrender.com"
    own = {"API_BASE_URL": "https://api.shop.example", "RENDER_EXTERNAL_URL": "https://x"}
    assert load_settings(own).api_base_url == "https://api.shop.example"


def test_secrets_do_not_show() -> None:
    assert "x" * 40 not in repr(load_settings({**COMPLETE, "CHROMA_URL": "http://c"}))


async def test_production_refuses_a_postgres_that_may_lose_commits(settings: AllSettings) -> None:
    assert settings.postgres_dsn is not None
    dsn = settings.postgres_dsn.get_secret_value() + "&synchronous_commit=off"
    environ = {**COMPLETE, "POSTGRES_DSN": dsn, "CHROMA_URL": "http://c"}
    with pytest.raises(ConfigurationError, match="synchronous_commit=off"):
        await work(load_settings(environ), Registry([], []))
