"""Structured logs: one JSON object a line on standard error, never a payload or a secret."""

import logging
import sys

import structlog


def configure_logs(process: str) -> None:
    """Send the logs of this process, and of the libraries it uses, to standard error as JSON."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)


logger: structlog.stdlib.BoundLogger = structlog.get_logger()
