"""Log lines: JSON for machines, one readable line for people.

Message text, phone numbers and secrets never get here: fields hold ids, names, counts and times.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from runtime.settings import Settings

ROOT = "nexus"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "from": record.name.removeprefix(ROOT + "."),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        name = record.name.removeprefix(ROOT + ".")
        fields = " ".join(f"{key}={value}" for key, value in getattr(record, "fields", {}).items())
        level = "" if record.levelno == logging.INFO else f"{record.levelname} "
        line = f"{at} {name:<10} {level}{record.getMessage()}{'  ' + fields if fields else ''}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class Log:
    """A logger that takes fields: `log.info("worker started", worker=3)`."""

    def __init__(self, name: str, **bound: Any) -> None:
        self._logger = logging.getLogger(f"{ROOT}.{name}")
        self._name = name
        self._bound = bound

    def bind(self, **fields: Any) -> "Log":
        """Return a logger that adds these fields to every line."""
        return Log(self._name, **self._bound, **fields)

    def debug(self, message: str, **fields: Any) -> None:
        """Log what only a developer of this part wants to know."""
        self._write(logging.DEBUG, message, fields)

    def info(self, message: str, **fields: Any) -> None:
        """Log what happened."""
        self._write(logging.INFO, message, fields)

    def warning(self, message: str, **fields: Any) -> None:
        """Log what somebody should look at."""
        self._write(logging.WARNING, message, fields)

    def error(self, message: str, *, trace: BaseException | None = None, **fields: Any) -> None:
        """Log what needs somebody now."""
        self._write(logging.ERROR, message, fields, trace)

    def _write(
        self, level: int, message: str, fields: dict[str, Any], trace: BaseException | None = None
    ) -> None:
        if self._logger.isEnabledFor(level):
            extra = {"fields": {**self._bound, **fields}}
            self._logger.log(level, "%s", message, extra=extra, exc_info=trace)


def configure_logging(settings: Settings) -> None:
    """Send log lines of this process to its standard error."""
    as_json = settings.log_format == "json" or (
        settings.log_format == "auto" and (settings.production or not sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if as_json else _Text())
    root = logging.getLogger(ROOT)
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    root.propagate = False


def where(error: BaseException) -> str:
    """Return the kind of an error and the line it came from, without its text.

    An error's text may hold what a shopper wrote; the line of code never does.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    return f"{type(error).__name__} at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
