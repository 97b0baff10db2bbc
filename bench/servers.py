"""The embedded Postgres and Valkey on free ports, migrated, without anything of Nexus running."""

import asyncio
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg
import redis

from bench.stack import OURS, ROOT
from state.keyring import new_key
from state.migrate import migrate
from tests.servers import new_postgres, new_valkey, running


@dataclass(frozen=True)
class Servers:
    """Two servers, and a folder that goes with them."""

    folder: Path
    dsn: str
    """Of the migrated database `nexus`."""
    redis_url: str

    def environment(self, **more: str) -> dict[str, str]:
        """Return what a process of Nexus needs to work here."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        return {
            **ours,
            "PYTHONPATH": str(ROOT),
            "POSTGRES_DSN": self.dsn,
            "REDIS_URL": self.redis_url,
            "NEXUS_STATE_DIR": str(self.folder / "state"),
            "ENCRYPTION_KEY": KEY,
            "INTERNAL_API_TOKEN": "bench-internal-token-of-thirty-two",
            "ADMIN_TOKEN": "bench-admin-token-of-thirty-two-by",
            **more,
        }

    def dsn_of(self, database: str) -> str:
        """Return the address of another database."""
        return self.dsn.replace("/nexus?", f"/{database}?")

    def run(self, *statements: str, database: str = "nexus") -> None:
        """Run statements as the owner, each by itself."""

        async def _run() -> None:
            connection = await asyncpg.connect(self.dsn_of(database))
            for one in statements:
                await connection.execute(one)
            await connection.close()

        asyncio.run(_run())

    def empty_redis(self) -> None:
        """Delete everything in Redis."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushall()


KEY = new_key()


@contextmanager
def servers(options: Mapping[str, str] | None = None) -> Iterator[Servers]:
    """Run both until the block ends; `options` are settings of Postgres."""
    with tempfile.TemporaryDirectory(prefix="nexus-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        postgres, valkey = new_postgres(folder / "postgres"), new_valkey(folder / "valkey")
        program = postgres.program()
        for option, value in (options or {}).items():
            program = replace(program, argv=(*program.argv, "-c", f"{option}={value}"))
        with running(program, folder), running(valkey.program(), folder):
            asyncio.run(migrate(postgres.dsn))
            with redis.Redis.from_url(valkey.url) as client:
                client.config_set("maxmemory", "1gb")  # peers keep their work in it
            yield Servers(folder, postgres.dsn, valkey.url)
