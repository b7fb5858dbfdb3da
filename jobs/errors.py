"""Error classes, and their retry policy.

Jobs raise these errors, or errors of libraries: `as_job_error` maps errors of SQLAlchemy, asyncpg,
httpx, redis-py, pydantic and asyncio to them. This is the only place with that mapping.
"""

import asyncio
from datetime import timedelta
from typing import ClassVar, Final, TypeVar, cast

import pydantic_core


class RinglineError(Exception):
    """Base of this project's errors. The message is one line: what is wrong and how to fix it."""


class UsageError(RinglineError):
    """A command or function got an unusable argument or setting. Correct the named value."""


class ServerError(RinglineError):
    """A Redis or PostgreSQL server cannot be started or reached. Check the server and its URL."""


class JobError(RinglineError):
    """A job failed.

    Attributes:
        retryable: True to retry the job, False to dead-letter it at once.
        retry_after: Seconds to wait before the retry; None means the policy's backoff.
    """

    retryable: ClassVar[bool] = True
    retry_after: float | str | None = None


class DatabaseError(JobError):
    """PostgreSQL is unreachable, or aborted a transaction that may succeed next time. Retried."""


class ExternalServiceError(JobError):
    """An external service failed, or asked to wait. Retried.

    Args:
        message: One line that names the service and the failure.
        retry_after: Time to wait before the retry, if the service named one: seconds, a timedelta,
            or the text of the HTTP header `Retry-After`.
    """

    def __init__(self, message: str, *, retry_after: float | timedelta | str | None = None) -> None:
        super().__init__(message)
        if isinstance(retry_after, timedelta):
            retry_after = retry_after.total_seconds()
        self.retry_after = retry_after


class ProcessTimeoutError(JobError):
    """A job exceeded its time limit. Retried; raise the `timeout` if the job needs longer."""


class ValidationError(JobError):
    """Arguments or data are invalid. Correct them and enqueue the job again."""

    retryable = False


class NotFoundError(JobError):
    """A row does not exist. Check the id; the row may have been deleted.

    Args:
        kind: Noun of the row, such as "lead".
        key: Id or key of the row.
    """

    retryable = False

    def __init__(self, kind: str, key: object) -> None:
        super().__init__(f"{kind} {key} does not exist")
        self.kind, self.key = kind, key


class ConflictError(JobError):
    """A change is illegal: by the state machine, or by a unique key. Check the current state."""

    retryable = False


class StaleVersionError(ConflictError):
    """Another transaction changed the row since it was read. Retried with a fresh read."""

    retryable = True


class WorkerLost(JobError):  # noqa: N818  # the name under which dead letters are listed
    """Every worker that ran this job was lost: it may be a poison job. Check its memory use."""

    retryable = False


E = TypeVar("E", bound=Exception)


def as_command_error(error: E, *, exit_code: int = 1) -> E:
    """Return an error that the `arq` command prints as one line instead of a traceback.

    click is imported here, on failure only, because arq depends on it and the engine must not.

    Args:
        error: Error to convert.
        exit_code: Exit code of the command.

    Returns:
        An instance of both the error's class and `click.ClickException`.
    """
    import click

    kind = type(error)
    command_error = type(  # pyright: ignore[reportGeneralTypeIssues]  # the order is that of `kind`
        kind.__name__, (kind, click.ClickException), {"exit_code": exit_code}
    )
    return cast("E", command_error(str(error)))


# By fully qualified name, so that the engine works without SQLAlchemy and httpx.
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
    """Map an error of a library to a `JobError`.

    Args:
        error: Error that a job raised.

    Returns:
        A `JobError` with `error` as its cause, or `error` itself if there is no mapping for it.
    """
    if isinstance(error, RinglineError | asyncio.CancelledError):
        return error
    if isinstance(error, TimeoutError):
        return _wrap(ProcessTimeoutError, error)
    for base in type(error).__mro__:
        kind = _MAPPED.get(f"{base.__module__}.{base.__qualname__}")
        if kind is not None:
            return _wrap(kind, error)
    if isinstance(error, ConnectionError):
        return _wrap(ExternalServiceError, error)
    return error


def _wrap(kind: type[JobError], error: BaseException) -> JobError:
    mapped = kind(_message(error))
    mapped.__cause__ = error
    return mapped


def _message(error: BaseException) -> str:
    # The text of a pydantic error quotes the input, which may be personal data.
    if isinstance(error, pydantic_core.ValidationError):
        return "; ".join(
            f"{'.'.join(map(str, detail['loc'])) or error.title}: {detail['msg']}"
            for detail in error.errors(
                include_url=False, include_context=False, include_input=False
            )
        )
    return " ".join(str(error).split()) or type(error).__name__
