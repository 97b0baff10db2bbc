"""`nexus doctor`, as an operator types it."""

import asyncio
import json

import pytest

from gateway.cli.main import main
from tests.state.operating import break_it


def broken(dsn: str, text: str) -> None:
    asyncio.run(break_it(dsn, text))


def test_it_shows_what_it_would_do_does_it_and_says_so(
    module_database_dsn: str, capsys: pytest.CaptureFixture[str], tmp_path: object
) -> None:
    environ = {"POSTGRES_DSN": module_database_dsn, "NEXUS_STATE_DIR": str(tmp_path)}
    assert main(["doctor"], environ) == 0
    assert capsys.readouterr().out == "The database is as declared.\n"

    broken(module_database_dsn, "DROP TABLE edge; DROP FUNCTION bury; CREATE TABLE mine (id int)")
    assert main(["doctor"], environ) == 1
    looked = capsys.readouterr().out
    assert "Can be repaired without touching a row (nexus doctor --fix):" in looked
    assert "table edge is missing, and with it 11 columns, keys, policies, …" in looked
    assert "column id of edge" not in looked
    assert "CREATE OR REPLACE FUNCTION bury(poison bigint)" in looked
    assert "table mine is not declared" in looked

    assert main(["doctor", "--fix"], environ) == 0
    assert "Repaired:" in capsys.readouterr().out
    assert main(["doctor"], environ) == 0
    assert "13 repaired, 0 refused" in capsys.readouterr().out


def test_what_it_refuses_comes_with_the_sql_and_a_code(
    module_database_dsn: str, capsys: pytest.CaptureFixture[str], tmp_path: object
) -> None:
    environ = {"POSTGRES_DSN": module_database_dsn, "NEXUS_STATE_DIR": str(tmp_path)}
    broken(module_database_dsn, "GRANT SELECT ON session TO nexus_app")

    assert main(["doctor", "--fix", "--json"], environ) == 1
    document = json.loads(capsys.readouterr().out)
    [refused] = [each for each in document["findings"] if each["state"] == "refused"]
    assert refused["statements"] == ["REVOKE SELECT ON TABLE session FROM nexus_app, PUBLIC"]

    assert main(["migrate"], environ) == 0
    assert "REVOKE SELECT ON TABLE session FROM nexus_app" in capsys.readouterr().out
    broken(module_database_dsn, refused["statements"][0])
    assert main(["doctor"], environ) == 0


def test_a_database_behind_is_sent_to_migrate(
    module_database_dsn: str, capsys: pytest.CaptureFixture[str], tmp_path: object
) -> None:
    environ = {"POSTGRES_DSN": module_database_dsn, "NEXUS_STATE_DIR": str(tmp_path)}
    broken(module_database_dsn, "UPDATE migration SET checksum = '' WHERE name = '30_claim.sql'")
    assert main(["doctor"], environ) == 1
    assert "run: nexus migrate" in capsys.readouterr().out
