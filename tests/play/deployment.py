"""What a deploy file says, in words that all forms share."""

import signal
from dataclasses import dataclass, field

SECRETS = {
    # Standard base64 with + and /, as Render generates it; a Fernet key as our pages tell to make.
    "ENCRYPTION_KEY": "+/7p3cIaZ0O9vR+8n/3kQeX1yW2uT4sL5jH6gF7dD9E=",
    "INTERNAL_API_TOKEN": "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9",
    "ADMIN_TOKEN": "f9e8d7c6b5a4938271605f4e3d2c1b0af9e8d7c6b5a4938271605f4e3d2c1b0a",
    "POSTGRES_PASSWORD": "play-postgres-4711",
    "REDIS_PASSWORD": "play-redis-4711",
}
"""What somebody would enter, or a platform would draw. For the play alone."""

PRIVATE_PORT = 8081
API_HOST, APP_HOST = "api.shop.example", "app.shop.example"


@dataclass(frozen=True)
class Service:
    """One process of the platform."""

    name: str
    command: list[str]
    environment: dict[str, str]
    volumes: dict[str, str] = field(default_factory=dict)
    """Folder in the box, and the name of the volume that is mounted there."""
    before: list[str] | None = None
    """What has to end well before it starts."""
    once: bool = False
    """It ends by itself, with 0, before the others start."""
    probe: list[str] | None = None
    """The platform's own question whether it is well, asked inside its box."""
    read_only: bool = False
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 30


@dataclass(frozen=True)
class Deployment:
    """All that a platform would run."""

    form: str
    home: str
    """Where the checkout is, in every box."""
    services: list[Service]
    names: list[str] = field(default_factory=list)
    """Host names that the platform's resolver knows."""
    resolver: str = "127.0.0.11"
    postgres: bool = True
    redis: bool = True
    """Whether the platform gives these servers, with the passwords of SECRETS."""
    build: list[str] = field(default_factory=lambda: ["./nexus install"])
    """Shell lines that the platform runs first, in the checkout."""
    image: bool = False
    """The checkout is what .dockerignore lets into the image; otherwise a clone."""
    public_port: int = 8080
    health_path: str = "/healthz"
    health_host: str = API_HOST
    pages_host: str = APP_HOST
    api_host: str = API_HOST
    open_ports: frozenset[int] = frozenset()
    """Ports besides the public one that other services of the platform may reach."""
