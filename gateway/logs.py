"""Structured logs: one JSON object a line on standard error, never a payload or a secret."""

import logging
import sys
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

# structlog loads rich where it is there, to draw tracebacks in colour: 5 MiB in each process, for
# logs that are JSON. A module that is None cannot be imported, as if it were not installed.
_is_hidden = "rich" not in sys.modules
if _is_hidden:
    sys.modules["rich"] = None  # type: ignore[assignment]
import structlog  # noqa: E402
from structlog.typing import EventDict, Processor  # noqa: E402

if _is_hidden:
    del sys.modules["rich"]


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


_RENDERERS: dict[str, Processor] = {
    "json": structlog.processors.JSONRenderer(),
    "logfmt": structlog.processors.LogfmtRenderer(bool_as_flag=False),
}


class _Switch:
    """Lets events pass or drops them, as set; loggers keep their processors for good."""

    def __init__(self) -> None:
        self.set(LogSettings())

    def set(self, settings: LogSettings) -> None:
        self._wanted = {
            "debug": settings.log_verbose_level > 0,
            "info": settings.log_info,
            "warning": settings.log_warning,
            "error": settings.log_error,
        }
        self._render = _RENDERERS[settings.log_format]

    def choose(self, logger: Any, method: str, event: EventDict) -> EventDict:
        if not self._wanted.get(method, True):
            raise structlog.DropEvent
        return event

    def render(self, logger: Any, method: str, event: EventDict) -> Any:
        return self._render(logger, method, event)


_switch = _Switch()


def configure_logs(process: str) -> None:
    """Send the logs of this process, and of the libraries it uses, to standard error as JSON."""
    structlog.configure(
        processors=[
            _switch.choose,
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _switch.render,
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)


def apply_log_settings(settings: LogSettings) -> None:
    """Log from now on what the settings say, libraries included."""
    _switch.set(settings)
    library_level = logging.WARNING if settings.log_warning else logging.ERROR
    logging.getLogger().setLevel(library_level if settings.log_error else logging.CRITICAL)


logger: structlog.stdlib.BoundLogger = structlog.get_logger()
