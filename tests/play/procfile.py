"""A platform that runs a Procfile: every line through a shell, with what somebody set for all."""

from pathlib import Path

from runtime.host.procfile import read_procfile
from tests.play.deployment import SECRETS, Deployment, Service

PORT = 5000
"""What such platforms like to give."""
DSN = f"postgresql://nexus:{SECRETS['POSTGRES_PASSWORD']}@db.internal:5432/nexus"
SET_BY_HAND = {
    "NEXUS_ENV": "production",
    "API_BASE_URL": "https://api.shop.example",
    "POSTGRES_DSN": DSN,
    "REDIS_URL": f"redis://:{SECRETS['REDIS_PASSWORD']}@redis.internal:6379/0",
    "CHROMA_URL": "http://chroma.internal:8001",
    "ENCRYPTION_KEY": SECRETS["ENCRYPTION_KEY"],
    "INTERNAL_API_TOKEN": SECRETS["INTERNAL_API_TOKEN"],
    "ADMIN_TOKEN": SECRETS["ADMIN_TOKEN"],
    "NEXUS_STATE_DIR": "/tmp/nexus",
}


def read(path: Path, form: str) -> Deployment:
    """Say what a platform would run: docs/operate.md names the variables, and `migrate`."""
    environment = {**SET_BY_HAND, "PORT": str(PORT)}
    services = [Service("migrate", ["./nexus", "migrate"], environment, once=True)]
    for name, words in read_procfile(path).items():
        line = ["/bin/sh", "-c", f"exec {' '.join(words)}"]
        services.append(Service(name, line, environment))
    return Deployment(
        form,
        "/app",
        services,
        names=["db.internal", "redis.internal", "chroma.internal"],
        public_port=PORT,
    )
