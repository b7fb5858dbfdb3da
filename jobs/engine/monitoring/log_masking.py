"""Masking of log lines: structlog's and those of arq's worker."""

import logging
from typing import Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from jobs.engine.queue.serializer import deserialization_error_in
from jobs.privacy.error_text import MAX_SCANNED_LENGTH, escape_surrogates, mask_traceback
from jobs.privacy.fields import NamedValues, mask_repeated, mask_value

_ARGUMENTS: Final = "__ringline_arguments__"
_START: Final = "%6.2fs → %s(%s)%s"
"""The format of arq's line about the start of a job: waited, label, arguments, the rest."""


def mask(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Mask phone numbers, e-mail addresses and passwords in a log line, and fields that hold names.

    Nested values are masked, too. The signature is that of a structlog processor.
    """
    masked: EventDict = mask_value(event)
    return masked


COMMON: Final[tuple[Processor, ...]] = (
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
)
"""Processors of every line, before it is masked and rendered."""


def to_read(*, colors: bool) -> Processor:
    """Return a renderer of lines to read. Tracebacks omit local variables: personal data."""
    return structlog.dev.ConsoleRenderer(
        colors=colors, exception_formatter=structlog.dev.plain_traceback
    )


def mask_logs_of_worker() -> None:
    """Mask the logs of a worker that nobody has configured, as under the `arq` command."""
    logging.getLogger("arq.worker").addFilter(_MASKED)
    if not structlog.is_configured():
        structlog.configure(
            processors=[*COMMON, mask, to_read(colors=False)],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        )


def remember_arguments(error: BaseException, arguments: NamedValues) -> None:
    """Attach arguments to an error, so that arq's line about it can be masked."""
    setattr(error, _ARGUMENTS, arguments)


class _MaskingFilter(logging.Filter):
    """Masks the lines of arq's worker, which would show arguments and errors unmasked."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.msg == _START and isinstance(record.args, tuple):
            waited, label, job_arguments, rest = record.args
            record.args = (waited, label, "…" if job_arguments else "", rest)
        error = record.exc_info[1] if record.exc_info else None
        arguments: NamedValues = getattr(error, _ARGUMENTS, ())
        record.msg, record.args = mask_repeated(_text(record), arguments), ()
        refusal = None if error is None else deserialization_error_in(error)
        if refusal is not None:
            record.msg, record.exc_info = f"{record.msg}: {refusal}", None
        elif error is not None:
            record.exc_text = mask_traceback(error, arguments).rstrip()
        return True


def _text(record: logging.LogRecord) -> str:
    """Return the text of a line; without its values if one of them is an error without a text."""
    try:
        return escape_surrogates(record.getMessage()[:MAX_SCANNED_LENGTH])
    except Exception:  # noqa: BLE001 - any class may have a broken text
        return str(record.msg)


_MASKED: Final = _MaskingFilter()
