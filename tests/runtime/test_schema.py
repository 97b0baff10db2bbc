"""What a process does about the schema when it starts."""

import logging

import pytest

from runtime.errors import ConfigurationError
from runtime.logs import Log
from runtime.schema import mend
from tests.state.operating import break_it

log = Log("test")


async def test_it_repairs_and_says_what(
    database_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    await break_it(database_dsn, "DROP INDEX work_ready")
    with caplog.at_level(logging.WARNING, "nexus.test"):
        assert (await mend(database_dsn, log)).whole
        assert (await mend(database_dsn, log)).whole
    assert [(each.getMessage(), vars(each)["fields"]["what"]) for each in caplog.records] == [
        ("the schema was repaired", "index work_ready of work is missing")
    ]


async def test_what_is_refused_is_a_line_each_and_the_process_starts(
    database_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    await break_it(
        database_dsn,
        "ALTER TABLE agent ALTER COLUMN rounds TYPE bigint; GRANT SELECT ON session TO nexus_app",
    )
    with caplog.at_level(logging.WARNING, "nexus.test"):
        await mend(database_dsn, log)
    assert len(caplog.records) == 2
    assert all("run nexus doctor" in each.getMessage() for each in caplog.records)


async def test_without_a_part_of_the_engine_a_worker_does_not_start_and_a_gateway_does(
    database_dsn: str,
) -> None:
    await break_it(database_dsn, "ALTER TABLE work RENAME TO work_old")
    with pytest.raises(ConfigurationError, match="table work is missing; see: nexus doctor"):
        await mend(database_dsn, log)
    assert not (await mend(database_dsn, log, needed=False)).startable
