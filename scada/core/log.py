"""Structured logs: one line an event, console or JSON, libraries included."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

_QUIET = {"asyncua": logging.ERROR, "pymodbus": logging.ERROR, "pykka": logging.CRITICAL} | dict.fromkeys(
    ("uvicorn", "numba", "asyncio", "grpc"), logging.WARNING
)
"""Libraries that talk much, and from which level they are heard; what they say of a connection our channels say better, and
what pykka says of an actor's end our supervisor says in one line."""


def configure_logging(level: str = "info", style: Literal["console", "json"] = "console") -> None:
    """Send structlog and the standard library's loggers to stderr in one format.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``; libraries are kept quieter.
        style: ``console`` for people, ``json`` for collectors.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor
    if style == "json":
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, lowest in _QUIET.items():
        logging.getLogger(name).setLevel(max(lowest, root.level))
