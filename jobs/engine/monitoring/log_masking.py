"""Log lines without personal data, whoever writes them: structlog's, and those of arq's worker."""

import logging
from typing import Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from jobs.engine.queue.serializer import deserialization_error_in
from jobs.privacy.error_text import MAX_SCANNED_LENGTH, escape_surrogates, mask_traceback
from jobs.privacy.fields import NamedValues, mask_repeated, mask_value

_ARGUMENTS: Final = "__ringline_arguments__"
_START: Final = "%6.2fs → %s(%s)%s"
"""How arq's worker logs the start of a job: waited, reference, arguments, the rest."""


def mask(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Hides phone numbers, e-mail addresses and passwords of URLs in every text of a log line,
    nested ones too, and the values of fields that hold names."""
    shown: EventDict = mask_value(event)
    return shown


COMMON: Final[tuple[Processor, ...]] = (
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
)
"""What makes a line, before it is masked and rendered."""


def to_read(*, colors: bool) -> Processor:
    """Renders lines to read; tracebacks without local variables, which hold anything."""
    return structlog.dev.ConsoleRenderer(
        colors=colors, exception_formatter=structlog.dev.plain_traceback
    )


def mask_logs_of_worker() -> None:
    """For a worker whose logs nobody has configured, as under the `arq` command: its lines are
    masked, and so are ours."""
    logging.getLogger("arq.worker").addFilter(_MASKED)
    if not structlog.is_configured():
        structlog.configure(
            processors=[*COMMON, mask, to_read(colors=False)],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        )


def remember_arguments(error: BaseException, arguments: NamedValues) -> None:
    """For arq's line about `error`: what of its text is personal."""
    setattr(error, _ARGUMENTS, arguments)


class _Masked(logging.Filter):
    """Masks the lines of arq's worker, which would show a job's arguments, and errors as they
    are."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.msg == _START and isinstance(record.args, tuple):
            waited, reference, given, rest = record.args
            record.args = (waited, reference, "…" if given else "", rest)
        error = record.exc_info[1] if record.exc_info else None
        arguments: NamedValues = getattr(error, _ARGUMENTS, ())
        record.msg, record.args = mask_repeated(_said(record), arguments), ()
        refusal = None if error is None else deserialization_error_in(error)
        if refusal is not None:
            record.msg, record.exc_info = f"{record.msg}: {refusal}", None
        elif error is not None:
            record.exc_text = mask_traceback(error, arguments).rstrip()
        return True


def _said(record: logging.LogRecord) -> str:
    """What the line says; without its values where one of them is an error that has no text."""
    try:
        return escape_surrogates(record.getMessage()[:MAX_SCANNED_LENGTH])
    except Exception:  # noqa: BLE001 - any class may have a broken text
        return str(record.msg)


_MASKED: Final = _Masked()
