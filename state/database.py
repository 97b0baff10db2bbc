"""Connections to Postgres: one pool per process, two roles.

The engine's role sees every shop's work and is used by the runtime's own statements. Handlers and
pages work as `nexus_app`, inside a transaction that names one shop; row level security hides all
others.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias, TypeVar

import asyncpg

from state.errors import Deadlock, translated

T = TypeVar("T")
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

ENGINE = "nexus_engine"
CONNECT_SECONDS = 10
IDLE_IN_TRANSACTION = "60s"
"""A forgotten transaction pins old row versions and locks; it is ended after this."""

# `work` is empty at one moment and has 200,000 rows at the next: the planner's statistics are
# always wrong, so its choices are pinned to what is right for the hot statements.
PLANNER = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}


async def connect(
    dsn: str, *, application: str, role: str | None = ENGINE, settings: dict[str, str] | None = None
) -> Connection:
    """Open one connection of one's own, as the engine.

    Args:
        dsn: address, user and password, as libpq writes it.
        application: shown in `pg_stat_activity`.
        role: None: stay the login user (a managed server that forbids roles, or a migration).
        settings: more server settings of this connection.

    Raises:
        DatabaseAway: nobody answers there.
    """
    server = {"application_name": application, "timezone": "UTC", **(settings or {})}
    if role is not None:
        server["role"] = role
    with translated():
        return await asyncpg.connect(dsn, timeout=CONNECT_SECONDS, server_settings=server)


async def has_roles(dsn: str) -> bool:
    """Say whether this server knows our roles and lets us take them on."""
    connection = await connect(dsn, application="nexus roles", role=None)
    try:
        return await knows_roles(connection)
    finally:
        await connection.close()


async def knows_roles(connection: Connection) -> bool:
    """Say the same of a connection of the login user."""
    return bool(
        await connection.fetchval(
            "SELECT coalesce(bool_and(pg_has_role(current_user, oid, 'USAGE')), false)"
            " AND count(*) = 2 FROM pg_roles WHERE rolname IN ('nexus_engine', 'nexus_app')"
        )
    )


class Line(asyncpg.Connection):  # type: ignore[misc] # it comes without types
    """A connection that begins a transaction and says something more in the same round trip."""

    _more = ""

    def begun_with(self, statement: str) -> asyncpg.transaction.Transaction:
        """Return a transaction that begins with this statement; it may not hold foreign text."""
        self._more = statement
        return self.transaction()

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:
        """Run a statement; see `asyncpg.Connection.execute`."""
        if self._more and query.startswith("BEGIN"):
            query, self._more = query + self._more, ""
        return str(await super().execute(query, *args, timeout=timeout))


class Database:
    """A pool of few connections, opened when first needed."""

    def __init__(self, dsn: str, pool: "asyncpg.Pool[asyncpg.Record]", roles: bool) -> None:
        self.dsn = dsn
        self.roles = roles
        """Whether row level security guards handlers and pages; else only the queries do."""
        self._pool = pool
        self._returning: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(
        cls, dsn: str, *, application: str, maximum: int = 4, roles: bool | None = None
    ) -> "Database":
        """Check that Postgres answers, and return the pool.

        Args:
            dsn: address, user and password, as libpq writes it.
            application: shown in `pg_stat_activity`.
            maximum: connections.
            roles: whether this server knows our roles, where that is known: then nothing is asked,
                and the first connection is opened when it is needed. None: ask.

        Raises:
            DatabaseAway: nobody answers there.
        """
        with translated():
            if roles is None:
                roles = await has_roles(dsn)
            server = {
                "application_name": application,
                "timezone": "UTC",
                "jit": "off",
                "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION,
            }
            if roles:
                server["role"] = ENGINE
            pool = asyncpg.create_pool(
                dsn,
                min_size=0,
                max_size=maximum,
                timeout=CONNECT_SECONDS,
                reset=_leave_as_it_is,
                connection_class=Line,
                server_settings=server,
            )
            await pool
        return cls(dsn, pool, roles)

    async def aclose(self) -> None:
        """Close every connection; those in use get two seconds."""
        try:
            async with asyncio.timeout(2):
                await self._pool.close()
        except (TimeoutError, asyncpg.PostgresError, OSError):
            self._pool.terminate()

    @asynccontextmanager
    async def engine(self) -> AsyncIterator[Connection]:
        """Lend a connection as the engine: all shops, each statement commits by itself."""
        with translated():
            async with self._pool.acquire(timeout=CONNECT_SECONDS) as connection:
                yield connection

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[Any]:
        """Lend a connection to code that is not the engine's: what it sets ends with it.

        It is cleaned after the block has ended, so that nobody waits for that.
        """
        with translated():
            connection = await self._pool.acquire(timeout=CONNECT_SECONDS)
        try:
            with translated():
                yield connection
        finally:
            task = asyncio.ensure_future(self._take_back(connection))
            self._returning.add(task)
            task.add_done_callback(self._returning.discard)

    async def _take_back(self, connection: Any) -> None:
        try:
            if connection.is_in_transaction():  # it only read
                await connection.execute("ROLLBACK", timeout=CONNECT_SECONDS)
            await connection.reset(timeout=CONNECT_SECONDS)
        except BaseException:  # nobody may get a connection that another's settings are on
            with suppress(asyncpg.InterfaceError):  # it broke, and went back by itself
                connection.terminate()
        finally:
            with suppress(asyncpg.PostgresError, OSError):
                await self._pool.release(connection)

    @asynccontextmanager
    async def begun(self, statement: str) -> AsyncIterator[Connection]:
        """Lend a transaction that begins with this statement, to code that is not the engine's."""
        async with self.lent() as connection, connection.begun_with(statement):
            yield connection

    @asynccontextmanager
    async def tenant(self, tenant: int) -> AsyncIterator[Connection]:
        """Lend a transaction that sees one shop, and no other."""
        async with self.begun(becoming(tenant, self.roles)) as connection:
            yield connection

    @asynccontextmanager
    async def reading(self, tenant: int) -> AsyncIterator[Connection]:
        """Lend a transaction that sees one shop and writes nothing; nobody waits for its end."""
        async with self.lent() as connection:
            await connection.execute(f"BEGIN READ ONLY; {becoming(tenant, self.roles)}")
            yield connection


async def _leave_as_it_is(_: Connection) -> None:
    """Take a connection back without a round trip: the engine sets nothing on it."""


def becoming(tenant: int, roles: bool) -> str:
    """Return the statement that binds the rest of a transaction to one shop."""
    return f"SELECT become({tenant:d}, {bool(roles)})"


async def become(connection: Connection, tenant: int, roles: bool) -> None:
    """Bind the rest of this transaction to one shop."""
    await connection.execute("SELECT become($1, $2)", tenant, roles)


def sparse(values: list[T | None]) -> list[T | None]:
    """Return the array to send: an empty one where every element is NULL.

    `unnest` fills the shorter of parallel arrays with NULL, and each element that is sent costs.
    """
    return values if any(value is not None for value in values) else []


async def repeated(call: Callable[[], Awaitable[T]], attempts: int = 10) -> T:
    """Run a statement again when it was the victim of a deadlock: it did nothing.

    Raises:
        StateFault: as translated; Deadlock after the last attempt.
    """
    for left in range(attempts, 0, -1):
        try:
            with translated():
                return await call()
        except Deadlock:
            if left == 1:
                raise
    raise AssertionError("unreachable")
