"""Several surgeons at once, killed in the middle, held up; and what they leave behind."""

import asyncio
import os
import signal
import sys

import pytest

from state.database import Database
from state.errors import DatabaseAway
from state.migrate import LOCK
from state.surgeon import examine, operate, past_reports, standing
from tests.state.operating import (
    assert_as_declared,
    assert_same_rows,
    break_it,
    gone,
    talking,
    told,
    waits_for,
)


async def test_it_says_nothing_of_what_belongs_to_nobody(patient: str) -> None:
    """A report of things left alone is not an alert, and ends when they are gone."""
    await break_it(patient, "CREATE TABLE mine (id int)")
    await operate(patient)
    [past] = await past_reports(patient)
    assert (past.repaired, past.refused, past.ended_at) == (0, 0, None)
    await break_it(patient, "DROP TABLE mine")
    await operate(patient)
    [past] = await past_reports(patient)
    assert past.ended_at is not None


async def test_the_same_again_is_one_report_and_one_alert_until_it_is_gone(patient: str) -> None:
    await break_it(patient, "ALTER TABLE agent ALTER COLUMN rounds TYPE bigint")
    for _ in range(3):
        await operate(patient)
    [past] = await past_reports(patient)
    assert (past.times, past.refused) == (3, 1)
    database = await Database.open(patient, application="test")
    assert await standing(database) == 1
    async with database.engine() as connection:
        alerts = "SELECT message FROM alert WHERE kind = 'schema' AND resolved_at IS NULL"
        [alert] = await connection.fetch(alerts)
        assert "nexus doctor" in alert["message"]
    await break_it(patient, "ALTER TABLE agent ALTER COLUMN rounds TYPE int")
    await operate(patient)
    assert await standing(database) == 0
    async with database.engine() as connection:
        assert await connection.fetch(alerts) == []
    await database.aclose()


async def test_of_four_that_start_at_once_one_repairs_and_all_find_it_whole(patient: str) -> None:
    await break_it(patient, "DROP INDEX work_ready; ALTER TABLE shop DROP COLUMN hours")
    reports = await asyncio.gather(*[operate(patient) for _ in range(4)])
    assert sorted(len(report.of("repaired")) for report in reports) == [0, 0, 0, 2]
    assert all(report.whole for report in reports)
    assert len(await past_reports(patient)) == 1


async def test_it_waits_for_a_migration(patient: str) -> None:
    await break_it(patient, "DROP INDEX work_ready")
    async with talking(patient) as migrating:
        await migrating.execute("SELECT pg_advisory_lock($1)", LOCK)
        operating = asyncio.create_task(operate(patient))
        await waits_for(patient, "advisory")
        assert told(await examine(patient), "repairable") == ["index work_ready of work is missing"]
    assert (await operating).whole


TWO = ["index work_ready of work is missing", "row level security (enable) of message is missing"]


async def test_killed_in_the_middle_it_has_done_nothing_and_the_next_start_repairs(
    patient: str,
) -> None:
    before = await break_it(
        patient, "DROP INDEX work_ready; ALTER TABLE message DISABLE ROW LEVEL SECURITY"
    )
    code = (
        "import asyncio, sys; from state.surgeon import operate; asyncio.run(operate(sys.argv[1]))"
    )
    async with talking(patient) as connection, connection.transaction():
        await connection.execute("LOCK TABLE message IN ACCESS SHARE MODE")
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, patient)
        backend = await waits_for(patient, "relation")  # the index is made, in its transaction
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
    await gone(patient, backend)

    assert told(await examine(patient), "repairable") == TWO
    assert await past_reports(patient) == []
    assert told(await operate(patient), "repaired") == TWO
    await assert_as_declared(patient)
    await assert_same_rows(patient, before)


async def test_cut_off_before_its_commit_it_has_done_nothing(patient: str) -> None:
    await break_it(patient, "DROP INDEX work_ready; ALTER TABLE message DISABLE ROW LEVEL SECURITY")
    async with talking(patient) as connection, connection.transaction():
        await connection.execute("LOCK TABLE message IN ACCESS SHARE MODE")
        operating = asyncio.create_task(operate(patient))
        backend = await waits_for(patient, "relation")
        await connection.fetchval("SELECT pg_terminate_backend($1)", backend)
        with pytest.raises(DatabaseAway):
            await operating
    assert told(await examine(patient), "repairable") == TWO
    assert (await operate(patient)).whole


async def test_who_holds_a_table_for_long_is_not_waited_for(
    patient: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("state.surgeon.operation.LOCK_SECONDS", 1)
    await break_it(patient, "DROP INDEX work_ready; ALTER TABLE message DISABLE ROW LEVEL SECURITY")
    async with talking(patient) as connection, connection.transaction():
        await connection.execute("LOCK TABLE message IN ACCESS SHARE MODE")
        report = await operate(patient)
    assert told(report, "repaired") == TWO[:1]
    assert "lock timeout" in report.of("refused")[0].reason
    assert told(await operate(patient), "repaired") == TWO[1:]


@pytest.mark.parametrize(
    ("lost", "next_number", "used"),
    [
        ("DROP SEQUENCE invocation_id", "SELECT nextval('invocation_id')", 900),
        (
            "ALTER TABLE contact ALTER COLUMN contact_id DROP IDENTITY",
            "INSERT INTO contact (tenant) VALUES (1) RETURNING contact_id",
            2,
        ),
        (
            "DROP TABLE worker",
            "INSERT INTO worker (host, pid, solo, lease_until) VALUES ('h', 1, false, now())"
            " RETURNING worker_id",
            7,
        ),
        ("DROP TABLE function", "INSERT INTO function (name) VALUES ('x') RETURNING fn", 2),
    ],
)
async def test_numbers_that_rows_still_mean_are_never_given_out_again(
    patient: str, lost: str, next_number: str, used: int
) -> None:
    await break_it(patient, lost)
    assert (await operate(patient)).whole
    async with talking(patient) as connection:
        assert await connection.fetchval(next_number) == used + 1


async def test_a_table_made_anew_has_the_rows_that_must_be_there(patient: str) -> None:
    await break_it(patient, "DROP TABLE edge, intake_clock")
    await operate(patient)
    async with talking(patient) as connection:
        assert await connection.fetchval("SELECT count(*) FROM edge, intake_clock") == 1
