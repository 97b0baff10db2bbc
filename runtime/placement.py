"""Which host runs a function: this one, or the one that a setting names for its service.

Both work on the same Postgres, which is all that they share: where a function is placed decides who
looks for its work and whose bell rings, and nothing can be lost between them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from runtime.errors import ConfigurationError
from runtime.function import Function
from runtime.policy import SERVICES
from runtime.registry import Registry
from runtime.settings import Settings

if TYPE_CHECKING:
    from runtime.neighbour import Neighbour


class Placed(NamedTuple):
    """A function that another host runs."""

    function: str
    setting: str
    """That says so: for instance `AGENT_SERVICE_URL`."""
    url: str
    """Of that host's private door, without a slash at its end."""


def placed(settings: Settings, functions: Iterable[Function[Any]]) -> list[Placed]:
    """Return which of these functions other hosts run."""
    given = services_elsewhere(settings)
    return [
        Placed(each.name, setting_of(each.policy.service), given[each.policy.service])
        for each in functions
        if each.policy.service in given
    ]


def services_elsewhere(settings: Settings) -> dict[str | None, str]:
    """Return the services that other hosts run, and where."""
    urls = {name: getattr(settings, f"{name}_service_url") for name in SERVICES}
    return {name: url for name, url in urls.items() if url is not None}


def served_here(settings: Settings, registry: Registry, only: Sequence[str] = ()) -> list[str]:
    """Return the names of the functions that this host runs.

    Args:
        settings: say what is placed elsewhere.
        registry: all functions.
        only: names of those that are asked for; none: all.

    Raises:
        ConfigurationError: one that is asked for runs elsewhere, or every one does.
        UnknownFunction: in `only`.
    """
    elsewhere = {each.function: each for each in placed(settings, registry)}
    asked = [registry.named(name).name for name in only]
    for name in asked:
        if name in elsewhere:
            raise ConfigurationError(
                f"{name} runs on another host, since {elsewhere[name].setting} is set: unset that"
                " here, or do not ask for this function"
            )
    found = asked or [each.name for each in registry if each.name not in elsewhere]
    if elsewhere and not found:
        raise ConfigurationError(
            f"no function is left to run here: {', '.join(elsewhere)} run on another host;"
            f" unset {', '.join(sorted({each.setting for each in elsewhere.values()}))}"
        )
    return found


def neighbours(settings: Settings, registry: Registry) -> Mapping[str, "Neighbour"]:
    """Return the hosts that run functions of ours, by function: one object for each host.

    Raises:
        ConfigurationError: there is such a host, and no token to open its door.
    """
    there = placed(settings, registry)
    if not there:
        return {}
    from runtime.neighbour import Neighbour  # an HTTP client: only for those who need one

    hosts: dict[str, Neighbour] = {}
    found = {}
    for each in there:
        if each.url not in hosts:
            hosts[each.url] = Neighbour(each.url, _token(settings, each.setting))
        found[each.function] = hosts[each.url]
        hosts[each.url].functions[each.function] = each.setting
    return found


def setting_of(service: str | None) -> str:
    """Return the name of the setting that places a service."""
    return f"{service}_service_url".upper()


def _token(settings: Settings, setting: str) -> str:
    """Return what opens the other door: of a list `new,old`, the new one."""
    value = settings.internal_api_token
    token = value.get_secret_value().partition(",")[0].strip() if value else ""
    if not token:
        raise ConfigurationError(
            f"{setting} needs INTERNAL_API_TOKEN, the same as on that host: it opens its door"
        )
    return token
