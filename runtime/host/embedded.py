"""Which servers we run ourselves: those whose address nobody gave us."""

from dataclasses import dataclass, field

from runtime.host.chroma import Chroma
from runtime.host.keys import kept
from runtime.host.layout import Layout
from runtime.host.ports import Ports
from runtime.host.postgres import Postgres
from runtime.host.program import Program
from runtime.host.valkey import Valkey
from runtime.settings import Settings


@dataclass
class Embedded:
    """The servers of one installation: to prepare, to run, and where they will be."""

    servers: list[Postgres | Valkey | Chroma] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    def prepare(self) -> None:
        """Make what they need on disk; the first time, a second's work."""
        for server in self.servers:
            server.prepare()

    def programs(self) -> list[Program]:
        """Return them as programs."""
        return [server.program() for server in self.servers]


def embedded_servers(settings: Settings, layout: Layout, ports: Ports) -> Embedded:
    """Return what is to run here, with the addresses it will have."""
    found = Embedded()
    if settings.postgres_dsn is None:
        postgres = Postgres(
            layout.folder("postgres"), ports.choose("postgres"), kept(layout, "postgres")
        )
        found.servers.append(postgres)
        found.environment["POSTGRES_DSN"] = postgres.dsn
    if settings.redis_url is None:
        valkey = Valkey(layout.folder("redis"), ports.choose("redis"), kept(layout, "redis"))
        found.servers.append(valkey)
        found.environment["REDIS_URL"] = valkey.url
    if settings.chroma_url is None:
        chroma = Chroma(layout.folder("chroma"), ports.choose("chroma"))
        found.servers.append(chroma)
        found.environment["CHROMA_URL"] = chroma.url
    return found


def local_secrets(settings: Settings, layout: Layout) -> dict[str, str]:
    """Return the secrets that are not given, made on the first start and kept."""
    given = {
        "ENCRYPTION_KEY": settings.encryption_key,
        "INTERNAL_API_TOKEN": settings.internal_api_token,
        "ADMIN_TOKEN": settings.admin_token,
    }
    return {name: kept(layout, name.lower()) for name, value in given.items() if value is None}
