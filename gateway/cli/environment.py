"""Where a command gets its settings from: the environment, `.env`, and the stack that runs here."""

from collections.abc import Mapping
from pathlib import Path

from runtime.errors import ConfigurationError
from runtime.settings import Settings, load_settings


def read_env_file(path: Path) -> dict[str, str]:
    """Return the variables of a `.env` file: `KEY=value` lines; quotes and `export` are optional.

    Raises:
        ConfigurationError: names the line that is none of that. The value is not repeated.
    """
    if not path.is_file():
        return {}
    found: dict[str, str] = {}
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path.name} is not UTF-8 text; save it as such") from None
    except OSError as error:
        raise ConfigurationError(f"{path.name} cannot be read: {error.strerror}") from None
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip().removeprefix("export ").strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip().isidentifier():
            raise ConfigurationError(f"{path.name}:{number} is not KEY=value")
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        elif " #" in value:
            value = value.partition(" #")[0].rstrip()
        found[name.strip()] = value
    return found


def with_running_stack(environ: Mapping[str, str]) -> dict[str, str]:
    """Fill in what is not set from the stack that runs on this state folder, if one does."""
    from runtime.host.stack import read_stack

    stack = read_stack(load_settings(environ).state_dir)
    return {**(stack.environment if stack else {}), **environ}


def settings_here(environ: Mapping[str, str]) -> Settings:
    """Return settings of the installation that this command is to work with."""
    return load_settings(with_running_stack(environ))
