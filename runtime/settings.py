"""What can be set from outside: one frozen model, read from the environment once."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from runtime.errors import ConfigurationError

OPENAI = "https://api.openai.com/v1"
"""Asks for a key; a server of one's own may not."""


class Settings(BaseModel):
    """Every setting; the name of its environment variable is the alias.

    `None` means "not set": an address that is not set is served by an embedded server.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    environment: Literal["local", "production"] = Field(
        "local",
        alias="NEXUS_ENV",
        description="`local` makes secrets and servers by itself; `production` refuses to guess.",
    )
    state_dir: Path = Field(
        Path(".state"),
        alias="NEXUS_STATE_DIR",
        description="Folder of everything the embedded servers remember. Owner-only.",
    )
    port: int = Field(
        8080, alias="PORT", ge=1, le=65535, description="The public port: Caddy listens here."
    )
    private_port: int = Field(
        8081,
        alias="NEXUS_PRIVATE_PORT",
        ge=1,
        le=65535,
        description="Port of Caddy's private site on loopback: functions, metrics, readiness.",
    )
    gateway_address: str = Field(
        "127.0.0.1:8000",
        alias="GATEWAY_ADDR",
        description="Where the gateway listens, and where Caddy finds it: `host:port`, or"
        " `unix/PATH` for a socket file. `nexus up` makes such a file unless this is set.",
    )
    gateway_fd: int | None = Field(
        None,
        alias="NEXUS_GATEWAY_FD",
        description="A listening socket handed down by the supervisor, instead of GATEWAY_ADDR.",
    )
    embedded: str | None = Field(
        None,
        alias="NEXUS_EMBEDDED",
        description="Servers `nexus up` may run itself in production: `postgres,redis,chroma`.",
    )
    postgres_dsn: SecretStr | None = Field(
        None, alias="POSTGRES_DSN", description="External Postgres (15 or newer)."
    )
    redis_url: SecretStr | None = Field(
        None, alias="REDIS_URL", description="External Redis or Valkey (6.2 or newer)."
    )
    chroma_url: str | None = Field(
        None,
        alias="CHROMA_URL",
        description="External Chroma server: `http://chroma:8000`, or host:port.",
    )
    encryption_key: SecretStr | None = Field(
        None,
        alias="ENCRYPTION_KEY",
        description="Fernet key that seals credentials; or a ring `kid:key,kid:key`, first seals.",
    )
    internal_api_token: SecretStr | None = Field(
        None,
        alias="INTERNAL_API_TOKEN",
        description="Bearer of the private function API, 32 bytes or more; `new,old` to rotate.",
    )
    admin_token: SecretStr | None = Field(
        None, alias="ADMIN_TOKEN", description="Exchanged for a session cookie at /login."
    )
    api_base_url: str | None = Field(
        None, alias="API_BASE_URL", description="Public address of this installation."
    )
    allowed_hosts: str | None = Field(
        None,
        alias="ALLOWED_HOSTS",
        description="More host names of this installation, separated by commas.",
    )
    caddy_admin: str | None = Field(
        None,
        alias="CADDY_ADMIN",
        description="Caddy's admin API: `unix/PATH`, host:port; none: a socket in the state dir.",
    )
    tls_port: int | None = Field(
        None,
        alias="TLS_PORT",
        ge=1,
        le=65535,
        description="Where Caddy itself ends TLS (443); none: what stands before it does.",
    )
    tls_issuer: Literal["acme", "internal"] = Field(
        "acme",
        alias="TLS_ISSUER",
        description="Who signs certificates: a public authority, or Caddy itself, for tests.",
    )
    app_version: str = Field(
        "4.0.0", alias="APP_VERSION", description="Version shown; cache buster of assets."
    )
    agents_enabled: bool = Field(
        True,
        alias="NEXUS_V3_ENABLED",
        description="Master switch: when false, messages are stored and shown, no agent answers.",
    )
    graph_api_url: str = Field(
        "https://graph.facebook.com",
        alias="GRAPH_API_URL",
        description="Where Meta's Graph API is; WhatsApp messages are sent there.",
    )
    graph_api_version: str = Field(
        "v25.0",
        alias="GRAPH_API_VERSION",
        pattern=r"^v[0-9]+\.[0-9]+$",
        description="Version in the addresses of the Graph API.",
    )
    tiendanube_api_url: str = Field(
        "https://api.tiendanube.com",
        alias="TIENDANUBE_API_URL",
        description="Where Tienda Nube's API is.",
    )
    tiendanube_auth_url: str = Field(
        "https://www.tiendanube.com",
        alias="TIENDANUBE_AUTH_URL",
        description="Where shops let Nexus into their store.",
    )
    openai_api_key: SecretStr | None = Field(
        None,
        alias="OPENAI_API_KEY",
        description="Key of the model for shops without one of their own; none: the demo model"
        " answers, on simulated phones alone.",
    )
    openai_base_url: str = Field(
        OPENAI,
        alias="OPENAI_BASE_URL",
        description="Any OpenAI-compatible server; most want the address to end in /v1.",
    )
    openai_model: str = Field(
        "gpt-5.4-mini",
        alias="OPENAI_MODEL",
        description="Model of agents that name none.",
    )
    openai_output_limit: Literal["max_completion_tokens", "max_tokens", "none"] = Field(
        "max_completion_tokens",
        alias="OPENAI_OUTPUT_LIMIT",
        description="How the server calls the limit of an answer; older ones know `max_tokens`.",
    )
    openai_requests_per_minute: int | None = Field(
        None,
        alias="OPENAI_REQUESTS_PER_MINUTE",
        ge=1,
        description="What the account of OPENAI_API_KEY may ask of models in a minute; none: no"
        " limit of ours.",
    )
    openai_tokens_per_minute: int | None = Field(
        None,
        alias="OPENAI_TOKENS_PER_MINUTE",
        ge=1,
        description="The same in tokens, in and out.",
    )
    openai_embedding_model: str | None = Field(
        None,
        alias="OPENAI_EMBEDDING_MODEL",
        description="Model of embeddings; none: the local one, which compares words, not meaning.",
    )
    quiet_seconds: float | None = Field(
        None,
        alias="NEXUS_QUIET_SECONDS",
        ge=0,
        le=20,
        description="How long agents wait for a next message, in place of each channel's own time.",
    )
    send_guard_seconds: float = Field(
        2.0,
        alias="NEXUS_SEND_GUARD_SECONDS",
        gt=0,
        description="A send that has not begun this long after its intent is given up.",
    )
    send_timeout_seconds: float = Field(
        10.0,
        alias="NEXUS_SEND_TIMEOUT_SECONDS",
        gt=0,
        description="Longest time for one POST to a channel.",
    )
    send_evidence_seconds: float = Field(
        60.0,
        alias="NEXUS_SEND_EVIDENCE_SECONDS",
        gt=0,
        description="Without a status for this long, a send nobody answered may not have arrived.",
    )
    send_patience_seconds: float = Field(
        600.0,
        alias="NEXUS_SEND_PATIENCE_SECONDS",
        gt=0,
        description="After this long without any evidence, a person decides about such a send.",
    )
    intake_probe_url: str | None = Field(
        None,
        alias="NEXUS_INTAKE_PROBE_URL",
        description="Address that shows whether webhooks can reach us; none: /healthz of Caddy.",
    )
    agent_service_url: str | None = Field(
        None,
        alias="AGENT_SERVICE_URL",
        description="Private door of another Nexus host (same `POSTGRES_DSN`) that runs `agent_run`"
        " in place of this one: `http://10.0.0.7:8081`.",
    )
    whatsapp_service_url: str | None = Field(
        None,
        alias="WHATSAPP_SERVICE_URL",
        description="The same for `message_send`.",
    )
    tiendanube_service_url: str | None = Field(
        None,
        alias="TIENDANUBE_SERVICE_URL",
        description="The same for functions that work with Tienda Nube.",
    )
    functions: str = Field(
        "functions",
        alias="NEXUS_FUNCTIONS",
        description="Comma-separated packages that hold function files.",
    )
    lease_seconds: float = Field(
        30.0,
        alias="NEXUS_LEASE_SECONDS",
        ge=1,
        description="A worker that does not renew within this time loses its work.",
    )
    blocked_seconds: float = Field(
        20.0,
        alias="NEXUS_BLOCKED_SECONDS",
        ge=0,
        description="A worker whose event loop a handler blocks for longer ends; 0: it stays.",
    )
    drain_seconds: float = Field(
        20.0,
        alias="NEXUS_DRAIN_SECONDS",
        ge=0,
        description="After SIGTERM, running attempts get this long before they are handed back.",
    )
    scale_seconds: float = Field(
        60.0,
        alias="NEXUS_SCALE_SECONDS",
        ge=1,
        description="Window that decides how many processes functions get; a tenth of it, bursts.",
    )
    quarantine_processes: int = Field(
        1,
        alias="NEXUS_QUARANTINE_PROCESSES",
        ge=1,
        le=8,
        description="Processes in which suspects of a crash run again, one attempt each.",
    )
    notify_wake: bool = Field(
        True,
        alias="NEXUS_NOTIFY_WAKE",
        description="Ring workers through Postgres too when a flush is small: lower idle latency.",
    )
    allow_unsafe_durability: bool = Field(
        False,
        alias="NEXUS_ALLOW_UNSAFE_DURABILITY",
        description="Start although Postgres runs with fsync or synchronous_commit off.",
    )
    login_code_sha256: str | None = Field(
        None,
        alias="NEXUS_LOGIN_CODE_SHA256",
        description="Hash of the one-time code in the login link; the supervisor sets it.",
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto",
        alias="NEXUS_LOG_FORMAT",
        description="`json` in production, `text` in a terminal; `auto` chooses.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", alias="NEXUS_LOG_LEVEL", description="The least severity that is logged."
    )

    @field_validator("chroma_url")
    @classmethod
    def _with_scheme(cls, value: str | None) -> str | None:
        return value if value is None or "://" in value else f"http://{value}"  # a host:port

    @field_validator("agent_service_url", "whatsapp_service_url", "tiendanube_service_url")
    @classmethod
    def _host(cls, value: str | None) -> str | None:
        return None if value is None else checked_host(value)

    @property
    def production(self) -> bool:
        """Whether guessing and making secrets is forbidden."""
        return self.environment == "production"


def load_settings(environ: Mapping[str, str], *, keyless: bool = False) -> Settings:
    """Read settings from an environment.

    `keyless` is for programs that reach no server of ours and need no secret, so that nobody has
    to give them any: Caddy, Chroma.

    An empty value counts as not set. A `NEXUS_…` variable that no setting knows is refused
    with the nearest name, since a typo in a setting is otherwise found at three in the morning.

    Raises:
        ConfigurationError: with one line that names the variable and the remedy.
    """
    known = {str(field.alias): name for name, field in Settings.model_fields.items()}
    for variable in environ:
        if variable.startswith("NEXUS_") and variable not in known and variable not in INTERNAL:
            near = difflib.get_close_matches(variable, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigurationError(f"{variable} is not a setting{hint}")
    values = {name: value for name in known if (value := environ.get(name))}
    if given := environ.get(PLATFORM_ADDRESS):
        values.setdefault("API_BASE_URL", given)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        said = first["msg"].removeprefix("Value error, ")
        raise ConfigurationError(f"{first['loc'][0]}: {said}") from None
    excused = _embedded(settings.embedded or "")
    missing = [name for name in REQUIRED_IN_PRODUCTION if name not in values.keys() | excused]
    if settings.production and missing and not keyless:
        raise ConfigurationError(
            f"NEXUS_ENV=production needs {', '.join(missing)}: set what is missing;"
            " nothing is made up in production"
        )
    return settings


def checked_host(url: str) -> str:
    """Return the address of another Nexus host, without a slash at its end.

    Raises:
        ValueError: it is none that a bell can be sent to. The address is not repeated: it may hold
            a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("not an address; write for instance http://10.0.0.7:8081") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError("not an http(s) address; write for instance http://10.0.0.7:8081")
    if parts.username is not None or parts.password is not None:
        raise ValueError("no user and no password in it: INTERNAL_API_TOKEN is what opens the door")
    if parts.query or parts.fragment or parts.path.strip("/") or " " in url:
        raise ValueError("scheme, host and port alone; write for instance http://10.0.0.7:8081")
    return f"{parts.scheme}://{parts.netloc}"


def _embedded(text: str) -> frozenset[str]:
    """Return the addresses that need not be given, since that server is run here."""
    names = text.replace(",", " ").split()
    for name in names:
        if name not in EMBEDDED:
            raise ConfigurationError(
                f"NEXUS_EMBEDDED: {name!r} is none of {', '.join(EMBEDDED)}; separate with commas"
            )
    return frozenset(EMBEDDED[name] for name in names)


PLATFORM_ADDRESS = "RENDER_EXTERNAL_URL"
"""A platform's own word for where we are reached, when nobody set API_BASE_URL."""

EMBEDDED = {"postgres": "POSTGRES_DSN", "redis": "REDIS_URL", "chroma": "CHROMA_URL"}

REQUIRED_IN_PRODUCTION = (
    "POSTGRES_DSN",
    "REDIS_URL",
    "CHROMA_URL",
    "ENCRYPTION_KEY",
    "INTERNAL_API_TOKEN",
    "ADMIN_TOKEN",
)

# Set by our own processes for each other; not settings of the user.
INTERNAL = frozenset({"NEXUS_HOME", "NEXUS_PYTHON", "NEXUS_MUTANT", "NEXUS_SUPERVISED"})
