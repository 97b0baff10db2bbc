"""A database is broken in every way we could think of: repaired, or refused with the reason."""

import pytest

from runtime.host.postgres import Postgres
from scripts.declare_schema import declared
from state.migrate import migrate
from state.surgeon import examine, operate, past_reports
from state.surgeon.facts import DECLARED, declared_schema
from state.surgeon.sources import first_rows, functions
from state.surgeon.statements import ORDER
from tests.conftest import database_copy
from tests.state.injuries import LEFT, REFUSED, REPAIRED
from tests.state.operating import (
    assert_as_declared,
    assert_same_rows,
    break_it,
    talking,
    told,
)


async def test_an_intact_schema_has_no_findings_and_leaves_no_report(patient: str) -> None:
    assert (await operate(patient)).findings == ()
    assert await past_reports(patient) == []


@pytest.mark.parametrize("what", REPAIRED)
async def test_it_repairs_when(patient: str, what: str) -> None:
    before = await break_it(patient, REPAIRED[what])
    planned = await examine(patient)
    assert planned.of("repairable")
    assert not planned.whole

    report = await operate(patient)

    assert told(report, "refused") == []
    assert told(report, "repaired") == told(planned, "repairable")
    await assert_as_declared(patient)
    await assert_same_rows(patient, before)
    [past] = await past_reports(patient)
    assert (past.repaired, past.refused) == (len(report.findings), 0)
    assert past.ended_at is not None


@pytest.mark.parametrize("what", REFUSED)
async def test_it_refuses_when(patient: str, what: str) -> None:
    broken, sql, reason, first = REFUSED[what]
    before = await break_it(patient, broken)

    report = await operate(patient)

    finding = next(each for each in report.of("refused") if sql in "; ".join(each.statements))
    assert reason in finding.reason
    assert "Bea" not in finding.reason
    assert not report.whole
    await assert_same_rows(patient, before)
    [past] = await past_reports(patient)
    assert past.refused == len(report.of("refused"))
    assert past.ended_at is None

    async with talking(patient) as connection:  # what the report says, an operator does
        for text in [first] if first else finding.statements:
            await connection.execute(text)
    for each in (await operate(patient)).of("refused"):  # what stood behind it
        async with talking(patient) as connection:
            for text in each.statements:
                await connection.execute(text)
    await operate(patient)
    report = await operate(patient)
    assert told(report, "refused") == []
    assert report.whole
    assert all(past.ended_at for past in await past_reports(patient) if past.refused)


@pytest.mark.parametrize("what", LEFT)
async def test_it_leaves_alone(patient: str, what: str) -> None:
    before = await break_it(patient, LEFT[what])

    report = await operate(patient)

    assert report.whole
    assert [finding.state for finding in report.findings] == ["left"]
    assert "unknown origin" in report.findings[0].reason
    await assert_same_rows(patient, before)
    await break_it(patient, "; ".join(report.findings[0].statements))
    await assert_as_declared(patient)


async def test_what_a_newer_version_made_is_not_taken_back(patient: str) -> None:
    await break_it(
        patient,
        "INSERT INTO migration (name, checksum) VALUES ('0999_later.sql', 'x');"
        " DROP INDEX work_ready",
    )
    try:
        report = await operate(patient)
        assert "0999_later.sql" in report.skipped
        assert report.findings == ()
    finally:
        await break_it(patient, "DELETE FROM migration WHERE name = '0999_later.sql'")
        await operate(patient)


async def test_what_is_not_migrated_yet_is_not_compared(patient: str) -> None:
    await break_it(patient, "UPDATE migration SET checksum = 'x' WHERE name = '40_turn.sql'")
    report = await operate(patient)
    assert report.missing == ("40_turn.sql",)
    assert "nexus migrate" in report.skipped
    await migrate(patient)
    await assert_as_declared(patient)


async def test_a_declaration_older_than_its_sources_is_not_acted_on(
    patient: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("state.surgeon.facts.sources_digest", lambda: "another")
    await break_it(patient, "DROP INDEX work_ready")
    assert "declare_schema" in (await operate(patient)).skipped
    monkeypatch.undo()
    await operate(patient)


async def test_the_declaration_is_current(postgres_server: Postgres) -> None:
    async with database_copy(postgres_server) as fresh:
        text = await declared(fresh)
    assert DECLARED.read_text(encoding="utf-8") == text, "run python -m scripts.declare_schema"


def test_every_declared_fact_can_be_made_anew() -> None:
    facts = declared_schema(roles=True).values()
    assert {fact.kind for fact in facts} <= set(ORDER)
    names = {fact.name.partition("(")[0] for fact in facts if fact.kind == "function"}
    assert names == set(functions())
    assert set(first_rows()) == {"shop", "intake_clock", "edge"}
