"""Failures: looks through exception groups and causes, and finds the next execution.

A `TaskGroup` wraps the errors of its tasks, and libraries wrap errors of others. A retry policy
judges the errors inside.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

from arq.worker import Retry

from jobs.engine.definition.retry import RetryPolicy
from jobs.errors import JobError, as_job_error
from jobs.privacy.error_text import error_message
from jobs.settings import Settings

MAX_CAUSES: Final = 20
"""Errors of one chain of causes that are looked at."""


def ends_the_process(error: BaseException) -> bool:
    """Return whether an error is not the job's own.

    `sys.exit()` in a job ends that job. Ctrl-C reaches a job only if nobody handles SIGINT.
    """
    if isinstance(error, KeyboardInterrupt):
        return signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return isinstance(error, asyncio.CancelledError | GeneratorExit)


def as_failure(error: BaseException) -> BaseException:
    """Return what an execution failed with, as it is reported.

    Errors of libraries are mapped by `as_job_error`. An error without a text is replaced, since
    whoever asks for the text, arq's worker among them, would fail too.
    """
    try:
        str(error)
    except Exception:  # noqa: BLE001 - any class may have a broken text
        failure = JobError(f"{type(error).__name__}: {error_message(error)}")
        failure.__cause__ = error
        return failure
    return as_job_error(error)


def members(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors in a group, nested ones too; the error itself if it is no group."""
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from members(member)
    else:
        yield error


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and the chain of its causes."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(seen) < MAX_CAUSES:
        seen.add(id(current))
        yield current
        current = current.__cause__


def next_wait(
    policy: RetryPolicy,
    error: BaseException,
    try_number: int,
    settings: Settings,
    random: Callable[[], float],
) -> timedelta | None:
    """Return the wait before the next execution of a job.

    In a group, the job has failed for good if any member is final; else the longest wait counts.

    Args:
        policy: The job's policy.
        error: What the execution raised.
        try_number: The number of the execution, from 1.
        settings: The defaults of the policy.
        random: Returns a number from 0 up to 1, for jitter.

    Returns:
        The wait; None if the job has failed for good.
    """
    longest = timedelta()
    for member in members(error):
        wait = _member_wait(policy, member, try_number, settings, random)
        if wait is None:
            return None
        longest = max(longest, wait)
    return longest


def _member_wait(
    policy: RetryPolicy,
    error: BaseException,
    try_number: int,
    settings: Settings,
    random: Callable[[], float],
) -> timedelta | None:
    if isinstance(error, Retry):
        limit = policy.max_retries
        limit = settings.task_max_retries if limit is None else limit
        asked = timedelta(milliseconds=error.defer_score or 0)
        return asked if try_number <= limit else None
    failure = as_failure(error)
    wait = policy.next_wait(failure, try_number, settings, random)
    if wait is None or not policy.causes:
        return wait
    waits = [
        policy.next_wait(as_failure(cause), try_number, settings, random)
        for cause in causes(failure)
    ]
    return None if None in waits else max(filter(None, [*waits, timedelta()]), default=wait)
