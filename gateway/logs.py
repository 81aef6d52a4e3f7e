"""Structured logs: one JSON object a line on standard error, never a payload or a secret.

Every process has them, so nothing is imported here that is not small.
"""

import json
import logging
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct


class LogSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a worker logs; the names are those of the protocol's extension `logging`.

    What is critical is logged whatever is set. A verbose level above 0 adds what only helps to look
    for faults.
    """

    log_info: bool = True
    log_warning: bool = True
    log_error: bool = True
    log_verbose_level: Annotated[int, Meta(ge=0, le=1)] = 0
    log_format: Literal["json", "logfmt"] = "json"


class Logger:
    """Writes events, each a line that is written whole, so that threads may share it.

    A field `exc_info` is an exception, of which the traceback is written.
    """

    def __init__(self) -> None:
        self._process: str | None = None
        self.obey(LogSettings())

    def name(self, process: str) -> None:
        """Say in every line from now on which process writes it."""
        self._process = process

    def obey(self, settings: LogSettings) -> None:
        """Write from now on what the settings say, and as they say."""
        self._wanted = {
            "debug": settings.log_verbose_level > 0,
            "info": settings.log_info,
            "warning": settings.log_warning,
            "error": settings.log_error,
            "critical": True,
        }
        self._render = _RENDERERS[settings.log_format]

    def debug(self, event: str, **fields: Any) -> None:
        self._write("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._write("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._write("error", event, fields)

    def critical(self, event: str, **fields: Any) -> None:
        self._write("critical", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        if not self._wanted[level]:
            return
        error = fields.pop("exc_info", None)
        line = {**fields, "event": event, "process": self._process, "level": level}
        line["timestamp"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if error is not None:
            line["exception"] = "".join(traceback.format_exception(error)).rstrip()
        sys.stderr.write(self._render(line) + "\n")
        sys.stderr.flush()


def configure_logs(process: str) -> None:
    """Name this process in what it logs; what libraries warn of goes to standard error too."""
    logger.name(process)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)


def apply_log_settings(settings: LogSettings) -> None:
    """Log from now on what the settings say, libraries included."""
    logger.obey(settings)
    library_level = logging.WARNING if settings.log_warning else logging.ERROR
    logging.getLogger().setLevel(library_level if settings.log_error else logging.CRITICAL)


def _to_json(line: dict[str, Any]) -> str:
    return json.dumps(line, default=repr)


def _to_logfmt(line: dict[str, Any]) -> str:
    return " ".join(f"{key}={_word(value)}" for key, value in line.items())


def _word(value: object) -> str:
    """Write a value of logfmt, in quotes where it could be taken for more than one.

    >>> _word(True), _word("two words")
    ('true', '"two words"')
    """
    if value is None:
        return ""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if text.isprintable() and not set(text) & set(' ="\\') else json.dumps(text)


_RENDERERS: dict[str, Callable[[dict[str, Any]], str]] = {
    "json": _to_json,
    "logfmt": _to_logfmt,
}

logger = Logger()
