"""Any error as one line that says what helps."""

import click

from jobs.engine.queue.serializer import deserialization_error_in
from jobs.errors import JobError, RinglineError, UsageError, as_job_error
from jobs.settings import SettingsError


class WrongUsage(click.ClickException):
    """The command was given what it cannot use."""

    exit_code = 2


def as_click_error(error: BaseException) -> click.ClickException:
    """The error as click shows it: wrong usage (exit code 2), or a failure (1)."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, UsageError | SettingsError):
        return WrongUsage(str(error))
    if isinstance(error, UnicodeEncodeError) and _is_surrogate(error.object[error.start]):
        return WrongUsage(f"{error.object!r} is not UTF-8 text")
    refusal = deserialization_error_in(error)
    if refusal is not None:
        return click.ClickException(f"{error}: {refusal}")
    mapped = as_job_error(error)
    if isinstance(mapped, JobError) and mapped is not error:
        return click.ClickException(f"{_what(error)}: {mapped}")
    if isinstance(mapped, RinglineError | OSError):
        return click.ClickException(str(mapped))
    text = " ".join(str(error).split())
    return click.ClickException(
        f"{type(error).__name__}: {text} (a defect; `ringline --debug …` shows where)"
    )


def _is_surrogate(character: str) -> bool:
    """As Python makes one of each byte of the command line that it cannot decode."""
    return "\ud800" <= character <= "\udfff"


def _what(error: BaseException) -> str:
    source = type(error).__module__.partition(".")[0]
    names = {"redis": "Redis", "sqlalchemy": "PostgreSQL", "asyncpg": "PostgreSQL"}
    return names.get(source, type(error).__name__)
