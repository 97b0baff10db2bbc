"""The hot statements find their rows by key, however full or empty the tables are."""

import re

import pytest

from bench.plans import HOT, plan
from state.database import PLANNER, connect

BIG = "work|lane|invocation|outcome|once|step|change"
FILL = """
    WITH new AS MATERIALIZED (
        SELECT nextval('invocation_id') AS id, n FROM generate_series(1, 20000) n),
    asked AS (
        INSERT INTO invocation (id, tenant, fn, event, created_at)
        SELECT id, 0, 1, '{}', now() FROM new),
    lined AS (
        INSERT INTO lane (tenant, lane, fn, run_at) SELECT 0, n, 1, now() FROM new WHERE n <= 5000)
    INSERT INTO work (id, tenant, fn, lane, run_at, worker)
    SELECT id, 0, 1, CASE WHEN n <= 5000 THEN n END, now(), CASE WHEN n > 19000 THEN 1 END FROM new
"""


@pytest.mark.parametrize("rows", ["none", "many"])
async def test_each_hot_statement_goes_by_its_indexes(database_dsn: str, rows: str) -> None:
    connection = await connect(database_dsn, application="test", settings=PLANNER)
    try:
        if rows == "many":
            await connection.execute(FILL)
            await connection.execute("SET ROLE NONE")
            await connection.execute("ANALYZE work, lane, invocation")
        for hot in HOT:
            found = await plan(connection, hot)
            assert not re.search(rf"Seq Scan on ({BIG})\b", found), f"{hot.name}:\n{found}"
            used = set(re.findall(rf"(?:using|Scan on) ((?:{BIG})_\w+)", found))
            assert used == set(hot.indexes), f"{hot.name}:\n{found}"
    finally:
        await connection.close()
