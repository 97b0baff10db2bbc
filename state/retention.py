"""Forget what has served its time, in small steps that hold no lock for long."""

from state.database import Database

BATCH = 2000
LOCK = 5

RULES = (
    # (what, statement; $1 is the number of rows at most)
    (
        "changes",
        "DELETE FROM change WHERE ctid = ANY (ARRAY(SELECT ctid FROM change"
        " WHERE at < clock_timestamp() - interval '1 day' LIMIT $1))",
    ),
    (
        "deliveries",
        "DELETE FROM delivery WHERE ctid = ANY (ARRAY(SELECT ctid FROM delivery"
        " WHERE received_at < clock_timestamp() - interval '30 days' LIMIT $1))",
    ),
    (
        "oddities",
        "DELETE FROM oddity WHERE ctid = ANY (ARRAY(SELECT ctid FROM oddity"
        " WHERE created_at < clock_timestamp() - interval '30 days' LIMIT $1))",
    ),
    (
        "keys",
        "DELETE FROM once WHERE (tenant, key) IN (SELECT tenant, key FROM once"
        " WHERE created_at < clock_timestamp() - interval '7 days' ORDER BY created_at LIMIT $1)",
    ),
    (
        "sessions",
        "DELETE FROM session WHERE digest IN (SELECT digest FROM session"
        " WHERE created_at < clock_timestamp() - interval '7 days' LIMIT $1)",
    ),
    (
        "budgets",
        "DELETE FROM budget WHERE ctid = ANY (ARRAY(SELECT ctid FROM budget"
        " WHERE day < current_date - 60 LIMIT $1))",
    ),
    (
        "slots",
        "DELETE FROM slot WHERE ctid = ANY (ARRAY(SELECT ctid FROM slot"
        " WHERE at < clock_timestamp() - interval '1 hour' LIMIT $1))",
    ),
    (
        "workers",
        """
        WITH old AS MATERIALIZED (
            SELECT worker_id FROM worker
            WHERE ended AND lease_until < clock_timestamp() - interval '1 day' LIMIT $1),
        served AS (DELETE FROM service USING old WHERE service.worker_id = old.worker_id)
        DELETE FROM worker USING old WHERE worker.worker_id = old.worker_id
        """,
    ),
    (
        # A line that nobody waits in says nothing once its last start is out of every window.
        "rates",
        "DELETE FROM rate WHERE ctid = ANY (ARRAY(SELECT r.ctid FROM rate r"
        " WHERE r.served_at < clock_timestamp() - interval '2 days'"
        " AND NOT EXISTS (SELECT FROM rate_slot v WHERE v.fn = r.fn AND v.tenant = r.tenant"
        " AND v.key = r.key) LIMIT $1 FOR UPDATE SKIP LOCKED))",
    ),
    (
        "invocations",
        """
        WITH old AS MATERIALIZED (
            SELECT o.id FROM outcome o
            WHERE o.done_at < clock_timestamp() - interval '30 days'
              AND NOT EXISTS (SELECT FROM alert a WHERE a.kind = 'dead' AND a.subject = o.id
                              AND a.resolved_at IS NULL)
            ORDER BY o.done_at LIMIT $1 FOR UPDATE SKIP LOCKED),
        steps AS (DELETE FROM step USING old WHERE step.id = old.id),
        chunks AS (DELETE FROM chunk USING old WHERE chunk.id = old.id),
        children AS (DELETE FROM child USING old WHERE child.parent = old.id),
        descended AS (DELETE FROM descent USING old WHERE descent.parent = old.id),
        failures AS (DELETE FROM failure USING old WHERE failure.id = old.id),
        waiting AS (DELETE FROM joined USING old WHERE joined.id = old.id),
        asked AS (DELETE FROM invocation USING old WHERE invocation.id = old.id)
        DELETE FROM outcome USING old WHERE outcome.id = old.id
        """,
    ),
)


async def forget_old(database: Database) -> dict[str, int]:
    """Delete what is past its time and return how many rows of each kind.

    Safe to run anywhere, any number of times; of several at once, one works.
    """
    forgotten: dict[str, int] = {}
    for what, statement in RULES:
        while True:
            async with database.engine() as connection, connection.transaction():
                if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1, 0)", LOCK):
                    return forgotten
                status: str = await connection.execute(statement, BATCH)
            count = int(status.rpartition(" ")[2])
            forgotten[what] = forgotten.get(what, 0) + count
            if count < BATCH:
                break
    return forgotten
