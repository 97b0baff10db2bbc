"""What a shop's domain has to do with our own hosts: it is none of them, and leads to one."""

import re
from collections.abc import Mapping

from gateway.cli.command import WrongUsage
from runtime.host.caddy import known_hosts, own_hosts
from runtime.settings import Settings
from state.rules.domain_names import above, is_apex, is_wildcard, shown


def refuse_our_own(name: str, settings: Settings, environ: Mapping[str, str]) -> None:
    """Refuse what this installation itself is reached by.

    Raises:
        WrongUsage: it is one of our hosts, or a wildcard over one.
    """
    own = {host.lower() for hosts in own_hosts(settings, environ) for host in hosts}
    patterns = [*known_hosts(settings, environ)]
    patterns += [given for each in ("APP_HOSTS", "API_HOSTS") if (given := environ.get(each))]
    covered = {host for host in own if is_wildcard(name) and above(host) == above(name)}
    if name in own or covered or any(_fits(pattern.strip("`"), name) for pattern in patterns):
        which = ", ".join(sorted(covered)) or shown(name)
        raise WrongUsage(
            f"{which} is this installation itself, for all shops; give the shop another name"
        )


def _fits(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern, name) is not None
    except re.error:  # Go's and Python's expressions differ a little
        return False


def record_to_make(name: str, settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the DNS record that a domain's owner has to make: name, type, value.

    The value is empty where this installation has no name of its own yet.
    """
    _, hosts = own_hosts(settings, environ)
    target = next(iter(hosts), "")
    kind = "ALIAS" if is_apex(name) and not is_wildcard(name) else "CNAME"
    return {"name": name, "type": kind, "value": target}


def remedy(record: Mapping[str, str], settings: Settings) -> str:
    """Return in words what the domain's owner has to do."""
    name = record["name"]
    if not record["value"]:
        probe = name.replace("*", "www")
        return (
            "This installation has no public name yet (API_BASE_URL), so no DNS record can lead to"
            f" it. Try it here:\n\n  curl -H 'Host: {probe}' http://localhost:{settings.port}/healthz"
        )
    lines = [
        "Its owner makes this DNS record:\n",
        f"  {name}.  {record['type']}  {record['value']}.",
    ]
    if record["type"] == "ALIAS":
        lines.append(
            "\nWhere ALIAS (also: ANAME, flattened CNAME) is not to be had, A and AAAA records with"
            f" the addresses of {record['value']} do, as long as those stay."
        )
    if settings.tls_port is None:
        lines.append(
            "\nTLS ends before Nexus: enter the domain there too (on Render: Settings, Custom"
            " Domains)."
        )
    else:
        lines.append("\nThe certificate is made when the first visitor comes.")
    return "\n".join(lines)
