"""Exceptions as one-line click errors with an exit code."""

import click

from jobs.engine.queue.serializer import deserialization_error_in
from jobs.errors import JobError, RinglineError, UsageError, as_job_error
from jobs.settings import SettingsError


class WrongUsage(click.ClickException):
    """Wrong usage of a command: exit code 2."""

    exit_code = 2


def as_click_error(error: BaseException) -> click.ClickException:
    """Convert an exception to a one-line click error.

    Args:
        error: The exception that ended a command. Of an exception group, the first member counts.

    Returns:
        A `WrongUsage` (exit code 2) for bad input or settings, else a failure (exit code 1).
    """
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
        return click.ClickException(f"{_source(error)}: {mapped}")
    if isinstance(mapped, RinglineError | OSError):
        return click.ClickException(str(mapped))
    text = " ".join(str(error).split())
    return click.ClickException(
        f"{type(error).__name__}: {text} (internal error: see the traceback with --debug)"
    )


def _is_surrogate(character: str) -> bool:
    """Check for the surrogates that Python substitutes for undecodable command-line bytes."""
    return "\ud800" <= character <= "\udfff"


def _source(error: BaseException) -> str:
    """Name the server behind a library's exception."""
    library = type(error).__module__.partition(".")[0]
    servers = {"redis": "Redis", "sqlalchemy": "PostgreSQL", "asyncpg": "PostgreSQL"}
    return servers.get(library, type(error).__name__)
