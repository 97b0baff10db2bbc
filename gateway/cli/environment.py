"""The environment of a command: the process's own, then `.env`, then the stack that runs here."""

from collections.abc import Mapping
from pathlib import Path

from runtime.errors import ConfigurationError, ServerAway
from runtime.settings import Settings, load_settings


def read_env_file(path: Path) -> dict[str, str]:
    """Read `KEY=VALUE` lines; blank lines and `#` lines are skipped, quotes around a value go.

    Raises:
        ConfigurationError: a line is neither, or the file cannot be read; names file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip().removeprefix("export ").strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not name.replace("_", "").isalnum():
            raise ConfigurationError(f"{path}:{number}: a line here is KEY=VALUE")
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        found[name] = value
    return found


def with_stack(environ: Mapping[str, str]) -> dict[str, str]:
    """Fill what is not set from the stack that runs on this state folder, if one does."""
    from runtime.host.stack import read_stack

    stack = read_stack(load_settings(environ).state_dir)
    filled = dict(stack.environment) if stack else {}
    filled.update({name: value for name, value in environ.items() if value})
    return filled


def joined(environ: Mapping[str, str]) -> Settings:
    """Return the settings of the installation this command works with.

    Raises:
        ServerAway: none runs here, and no address says where one is.
        ConfigurationError: production without POSTGRES_DSN.
    """
    settings = load_settings(environ)
    if settings.postgres_dsn is None:
        if settings.production:
            raise ConfigurationError("NEXUS_ENV=production needs POSTGRES_DSN")
        raise ServerAway("nothing runs here; start it with ./nexus up, or set POSTGRES_DSN")
    return settings
