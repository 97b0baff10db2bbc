"""Render: what a Blueprint makes, with the variables that Render adds.

Sources: Render's Blueprint reference (generateValue is base64 of 256 bits; hostport is host:port;
30 s until SIGKILL unless maxShutdownDelaySeconds says more) and its page on health checks (the
Host header is a custom domain, or the service's onrender.com name).
"""

from pathlib import Path
from typing import Any

import yaml

from tests.play.deployment import SECRETS, Deployment, Service

PORT = 10000
SOURCE = "/opt/render/project/src"
STOP_SECONDS = 30
ENTERED = {"API_BASE_URL": "https://api.shop.example", "OPENAI_API_KEY": ""}
"""What somebody types where the file says `sync: false`."""
KINDS = ("web", "pserv", "worker")


def read(path: Path, form: str) -> Deployment:
    """Say what Render would run."""
    file = yaml.safe_load(path.read_text())
    groups = {group["name"]: group["envVars"] for group in file.get("envVarGroups", [])}
    found = [each for each in file["services"] if each["type"] in KINDS]
    ports = {each["name"]: _port(each, groups) for each in found}
    web = next(each for each in found if each["type"] == "web")
    services = []
    for each in found:
        own = {"RENDER": "true", "PORT": str(PORT)}
        if each["type"] == "web":
            host = f"{each['name']}.onrender.com"
            own |= {"RENDER_EXTERNAL_HOSTNAME": host, "RENDER_EXTERNAL_URL": f"https://{host}"}
        disk = each.get("disk")
        services.append(
            Service(
                each["name"],
                ["/bin/bash", "-c", each["startCommand"]],
                {**own, **_variables(each["envVars"], groups, ports)},
                volumes={disk["mountPath"]: disk["name"]} if disk else {},
                before=_shell(each.get("preDeployCommand")),
                stop_seconds=each.get("maxShutdownDelaySeconds", STOP_SECONDS),
            )
        )
    host = f"{web['name']}.onrender.com"
    given = services[found.index(web)].environment.get("API_BASE_URL", f"https://{host}")
    return Deployment(
        form,
        SOURCE,
        services,
        build=sorted({each["buildCommand"] for each in found}),
        names=[*ports, *(each["name"] for each in file.get("databases", [])), "redis"],
        resolver="127.0.0.53",
        postgres="databases" in file,
        redis=any(each["type"] == "keyvalue" for each in file["services"]),
        public_port=PORT,
        health_path=web["healthCheckPath"],
        health_host=host,
        pages_host=given.removeprefix("https://").replace("api.", "app."),
        api_host=given.removeprefix("https://"),
        open_ports=frozenset(port for name, port in ports.items() if name != web["name"]),
    )


def _shell(command: str | None) -> list[str] | None:
    return ["/bin/bash", "-c", command] if command else None


def _port(service: dict[str, Any], groups: dict[str, Any]) -> int:
    for variable in service["envVars"]:
        if variable.get("key") == "PORT":
            return int(variable["value"])
    return PORT


def _variables(
    listed: list[dict[str, Any]], groups: dict[str, Any], ports: dict[str, int]
) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in listed:
        if "fromGroup" in one:
            found |= _variables(groups[one["fromGroup"]], groups, ports)
            continue
        key = one["key"]
        if one.get("generateValue"):
            found[key] = SECRETS[key]
        elif one.get("sync") is False:
            found[key] = ENTERED[key]
        elif "fromDatabase" in one:
            name, word = one["fromDatabase"]["name"], SECRETS["POSTGRES_PASSWORD"]
            found[key] = f"postgresql://nexus:{word}@{name}/nexus"
        elif "fromService" in one:
            source = one["fromService"]
            if source["type"] == "keyvalue":
                found[key] = f"redis://:{SECRETS['REDIS_PASSWORD']}@redis:6379"
            else:
                assert source["property"] == "hostport"
                found[key] = f"{source['name']}:{ports[source['name']]}"
        else:
            found[key] = str(one["value"])
    return found
