"""`.env`: read when it is there, below the environment, and never a traceback."""

from pathlib import Path

import pytest

from gateway.cli.environment import read_env_file
from gateway.cli.main import main
from runtime.errors import ConfigurationError


def written(folder: Path, text: str) -> Path:
    file = folder / ".env"
    file.write_text(text, encoding="utf-8")
    return file


def test_no_file_says_nothing(tmp_path: Path) -> None:
    assert read_env_file(tmp_path / ".env") == {}


def test_quotes_export_and_comments_are_as_shells_have_them(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "# ours\n\nexport ADMIN_TOKEN='a # b'\nPORT=9000 # a comment\nAPI_BASE_URL=\"https://x\"\n",
    )
    assert read_env_file(file) == {
        "ADMIN_TOKEN": "a # b",
        "PORT": "9000",
        "API_BASE_URL": "https://x",
    }


def test_a_line_that_is_none_is_named_without_what_it_holds(tmp_path: Path) -> None:
    file = written(tmp_path, "PORT=9000\nADMIN_TOKEN secret\n")
    with pytest.raises(ConfigurationError, match=r"\.env:2 is not KEY=value") as raised:
        read_env_file(file)
    assert "secret" not in str(raised.value)


def test_a_file_that_is_no_text_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\xfe\x00P")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        read_env_file(tmp_path / ".env")


def test_what_is_set_outside_goes_before_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, "NEXUS_ENV=production\nPOSTGRES_DSN=postgresql://nowhere\n")
    home = {"NEXUS_HOME": str(tmp_path), "NEXUS_STATE_DIR": str(tmp_path / "state")}
    assert main(["shops"], home) == 78  # production lacks more than that
    assert "REDIS_URL" in capsys.readouterr().err
    assert main(["shops"], {**home, "NEXUS_ENV": "local", "POSTGRES_DSN": ""}) == 69


def test_a_broken_file_is_exit_code_78(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\xfe")
    assert main(["shops"], {"NEXUS_HOME": str(tmp_path)}) == 78
    assert "not UTF-8" in capsys.readouterr().err
