"""Log configuration of the process: structlog and the standard library, one format, masked."""

import logging
import sys
from typing import Literal, TextIO

import structlog
from structlog.typing import Processor

from jobs.engine.monitoring.log_masking import COMMON, mask, to_read

LogFormat = Literal["console", "json"]


def configure(
    level: str = "INFO", log_format: LogFormat = "console", stream: TextIO | None = None
) -> None:
    """Configure the logs of this process.

    Args:
        level: Name of the lowest level that is logged, in any case.
        log_format: `console` for lines to read, `json` for one JSON object per line.
        stream: Receives the lines; None for stderr.

    Raises:
        KeyError: The level is unknown.
    """
    output: TextIO = stream or sys.stderr
    level_number = logging.getLevelNamesMapping()[level.upper()]
    last_processors: list[Processor] = [mask, _renderer(log_format, output)]
    structlog.configure(
        processors=[*COMMON, *last_processors],
        wrapper_class=structlog.make_filtering_bound_logger(level_number),
        logger_factory=structlog.WriteLoggerFactory(output),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=COMMON,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *last_processors,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level_number)


def _renderer(log_format: LogFormat, stream: TextIO) -> Processor:
    if log_format == "json":
        return structlog.processors.JSONRenderer(default=str)
    return to_read(colors=stream.isatty())
