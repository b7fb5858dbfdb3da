"""Logs of the whole process: structlog's and the standard library's, in one form, masked."""

import logging
import sys
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from jobs.rules.personal import masked

Form = Literal["console", "json"]


def configure(level: str = "INFO", form: Form = "console", stream: TextIO | None = None) -> None:
    """Sends the logs of this process to `stream` (stderr when None): lines to read, or JSON."""
    stream = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    ending: list[Processor] = [mask, _renderer(form, stream)]
    structlog.configure(
        processors=[*common, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=common,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)


def mask(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Hides phone numbers, e-mail addresses and passwords of URLs in every text of a log line,
    nested ones too, and the values of fields that hold names."""
    shown: EventDict = masked(event)
    return shown


def _renderer(form: Form, stream: TextIO) -> Processor:
    if form == "json":
        return structlog.processors.JSONRenderer(default=str)
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
