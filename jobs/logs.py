"""Logs of the whole process: structlog's and the standard library's, in one form, masked."""

import logging
import sys
from typing import Literal, TextIO

import structlog
from structlog.typing import Processor

from jobs.engine.monitoring.log_masking import COMMON, mask, to_read

Form = Literal["console", "json"]


def configure(level: str = "INFO", form: Form = "console", stream: TextIO | None = None) -> None:
    """Sends the logs of this process to `stream` (stderr when None): lines to read, or JSON."""
    output: TextIO = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    ending: list[Processor] = [mask, _renderer(form, output)]
    structlog.configure(
        processors=[*COMMON, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(output),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=COMMON,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)


def _renderer(form: Form, stream: TextIO) -> Processor:
    if form == "json":
        return structlog.processors.JSONRenderer(default=str)
    return to_read(colors=stream.isatty())
