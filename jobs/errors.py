"""What can go wrong, and what each kind means for a retry.

A job raises these, or raises what its libraries raise: `as_job_error` maps SQLAlchemy, asyncpg,
httpx, Redis and asyncio errors to them, here and nowhere else.
"""

import asyncio
from datetime import timedelta
from typing import ClassVar, Final, TypeVar, cast

import pydantic_core


class RinglineError(Exception):
    """The base of this project's errors; its text is one line that says what helps."""


class UsageError(RinglineError):
    """A command or a call was given what it cannot use."""


class ServerError(RinglineError):
    """A Redis or PostgreSQL server cannot be started or reached."""


class JobError(RinglineError):
    """A job ended badly. `retryable` decides between another try and a dead letter."""

    retryable: ClassVar[bool] = True
    retry_after: float | None = None


class DatabaseError(JobError):
    """PostgreSQL is unreachable, or refused a transaction that may pass when it is run again."""


class ExternalServiceError(JobError):
    """An outside service failed, or asked to wait.

    retry_after: seconds to wait before the next try, where the service named them.
    """

    def __init__(self, message: str, *, retry_after: float | timedelta | None = None) -> None:
        super().__init__(message)
        if isinstance(retry_after, timedelta):
            retry_after = retry_after.total_seconds()
        self.retry_after = retry_after


class ProcessTimeoutError(JobError):
    """A job ran past its time."""


class ValidationError(JobError):
    """Bad arguments, or bad data."""

    retryable = False


class NotFoundError(JobError):
    """A row that the job needs is not there."""

    retryable = False

    def __init__(self, kind: str, key: object) -> None:
        super().__init__(f"{kind} {key} does not exist")
        self.kind, self.key = kind, key


class ConflictError(JobError):
    """A transition that the state machine does not allow, or a row that changed underneath."""

    retryable = False


class StaleVersionError(ConflictError):
    """The row was changed by someone else since it was read; reading it again helps."""

    retryable = True


class WorkerLost(JobError):  # noqa: N818  # the name under which dead letters are listed
    """The workers that ran this job fell silent, time and again: it may be what kills them."""

    retryable = False


E = TypeVar("E", bound=Exception)


def as_command_error(error: E, *, exit_code: int = 1) -> E:
    """Return `error` as the `arq` command prints it: one line instead of a traceback.

    The result is an instance of the error's own class and of `click.ClickException`. click is
    imported here, on failure only, because arq depends on it and the engine must not.
    """
    import click

    kind = type(error)
    command_error = type(  # pyright: ignore[reportGeneralTypeIssues]  # the order is that of `kind`
        kind.__name__, (kind, click.ClickException), {"exit_code": exit_code}
    )
    return cast("E", command_error(str(error)))


# By fully qualified name, so that the engine needs neither SQLAlchemy nor httpx to be installed.
_MAPPED: Final[dict[str, type[JobError]]] = {
    "sqlalchemy.exc.OperationalError": DatabaseError,
    "sqlalchemy.exc.InterfaceError": DatabaseError,
    "sqlalchemy.exc.DBAPIError": DatabaseError,
    "sqlalchemy.exc.TimeoutError": DatabaseError,
    "sqlalchemy.exc.IntegrityError": ConflictError,
    "sqlalchemy.exc.DataError": ValidationError,
    "asyncpg.exceptions._base.PostgresError": DatabaseError,
    "asyncpg.exceptions._base.InterfaceError": DatabaseError,
    "httpx.TransportError": ExternalServiceError,
    "httpx.HTTPStatusError": ExternalServiceError,
    "redis.exceptions.RedisError": ExternalServiceError,
    "pydantic_core._pydantic_core.ValidationError": ValidationError,
}


def as_job_error(error: BaseException) -> BaseException:
    """The `JobError` that `error` amounts to, with `error` as its cause; else `error` itself."""
    if isinstance(error, RinglineError | asyncio.CancelledError):
        return error
    if isinstance(error, TimeoutError):
        return _mapped(ProcessTimeoutError, error)
    for base in type(error).__mro__:
        kind = _MAPPED.get(f"{base.__module__}.{base.__qualname__}")
        if kind is not None:
            return _mapped(kind, error)
    if isinstance(error, ConnectionError):
        return _mapped(ExternalServiceError, error)
    return error


def _mapped(kind: type[JobError], error: BaseException) -> JobError:
    mapped = kind(_text(error))
    mapped.__cause__ = error
    return mapped


def _text(error: BaseException) -> str:
    # pydantic quotes the input in its text, and an input may be personal.
    if isinstance(error, pydantic_core.ValidationError):
        return "; ".join(
            f"{'.'.join(map(str, one['loc'])) or error.title}: {one['msg']}"
            for one in error.errors(include_url=False, include_context=False, include_input=False)
        )
    return " ".join(str(error).split()) or type(error).__name__
