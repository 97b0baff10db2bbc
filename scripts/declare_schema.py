"""Write state/surgeon/declared.json: migrate an empty database and read back what came of it.

Run it after a change of state/migrations, state/routines or state/isolation.sql:

    .venv/bin/python -m scripts.declare_schema
"""

import asyncio
import tempfile
from pathlib import Path

from state.database import connect
from state.migrate import migrate
from state.surgeon.facts import DECLARED, declaration, live_schema
from tests.servers import new_postgres, running


async def declared(dsn: str) -> str:
    """Return the text of the file, from a database that was just migrated and nothing else."""
    connection = await connect(dsn, application="nexus declare", role=None)
    try:
        return declaration(await live_schema(connection, roles=True))
    finally:
        await connection.close()


def main() -> None:
    """Start a Postgres, migrate, read, write."""
    with tempfile.TemporaryDirectory(prefix="nexus-declare-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # the account of Postgres passes through
        server = new_postgres(folder / "postgres")
        with running(server.program(), folder):
            asyncio.run(migrate(server.dsn))
            DECLARED.write_text(asyncio.run(declared(server.dsn)), encoding="utf-8")
    print(f"{DECLARED.name}: written")


if __name__ == "__main__":
    main()
