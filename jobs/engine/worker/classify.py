"""Classification: decide from the facts of an execution how its job goes on. Pure functions."""

import asyncio
from datetime import timedelta
from typing import Any, Final, NamedTuple

from arq.worker import JobExecutionFailed, Retry, RetryJob

from jobs.engine.queue.claim import MAX_EXPIRED_LEASES, History
from jobs.engine.queue.outcome import OutcomeKind
from jobs.engine.worker.execution import CancelReason
from jobs.errors import WorkerLost

UNKNOWN_DELAY: Final = timedelta(seconds=10)
"""Delay after which a job with an unknown function is looked at again."""
MAX_UNKNOWN_REQUEUES: Final = 30
"""Requeues of a job with an unknown function: a rolling deploy has five minutes."""


class Decision(NamedTuple):
    """The end of an execution, before it is encoded for Redis.

    Attributes:
        kind: DONE, RETRIED, DEAD, ABORTED or RELEASED. DEAD becomes DISCARDED where no dead letter
            is kept.
        value: The result, if DONE.
        error: The reason, if RETRIED, DEAD or ABORTED.
        delay_ms: Milliseconds until the next execution; None for "as soon as possible, at the
            job's original place in the queue".
        unknown: The worker does not know the job's function.
    """

    kind: OutcomeKind
    value: Any = None
    error: BaseException | None = None
    delay_ms: int | None = None
    unknown: bool = False


RELEASED: Final = Decision(OutcomeKind.RELEASED)
"""Requeue the job at its original place; the execution uses no try."""


def failed(error: BaseException) -> Decision:
    """Return the decision for a job that failed for good."""
    return Decision(OutcomeKind.DEAD, error=error)


def aborted() -> Decision:
    """Return the decision for a job that `Job.abort()` ended."""
    return Decision(OutcomeKind.ABORTED, error=asyncio.CancelledError())


def classify_error(
    error: BaseException,
    reason: CancelReason | None,
    *,
    retry_jobs: bool,
    has_definition: bool,
) -> Decision:
    """Decide how a job goes on whose coroutine raised.

    Libraries turn a cancellation into errors of their own. So whatever a job raises after the
    worker has canceled it for a shutdown or an abort is that shutdown or abort.

    Args:
        error: The exception that the coroutine raised.
        reason: The reason for which the worker canceled the execution, if it did.
        retry_jobs: arq's option: `Retry` and cancellation lead to another execution.
        has_definition: The function is a `@job`, whose `Retry` carries the error as its cause.
    """
    if reason is CancelReason.ABORT:
        return aborted()
    if reason is CancelReason.TIMEOUT and isinstance(error, asyncio.CancelledError):
        return failed(TimeoutError())
    if not retry_jobs:
        is_retry = isinstance(error, Retry) and has_definition
        return failed((error.__cause__ or error) if is_retry else error)
    if reason is CancelReason.SHUTDOWN:
        return RELEASED
    if isinstance(error, Retry):
        delay_ms = error.defer_score or None
        return Decision(OutcomeKind.RETRIED, error=error.__cause__ or error, delay_ms=delay_ms)
    if isinstance(error, asyncio.CancelledError | RetryJob):
        return Decision(OutcomeKind.RETRIED, error=error)
    return failed(error)


def classify_claim(
    history: History,
    *,
    name: str,
    number: int,
    enqueued_ms: int,
    max_tries: int | None,
    requeue_unknown: bool,
) -> Decision | None:
    """Decide whether a claimed job may run.

    Args:
        history: Earlier executions of the job.
        name: The job's function.
        number: The number of this execution, from 1.
        enqueued_ms: Enqueue time in POSIX milliseconds.
        max_tries: Executions that the function allows; None if the worker does not know it.
        requeue_unknown: Requeue jobs with an unknown function for a while.

    Returns:
        None if the job may run, else its end.
    """
    if history.abort_ms is not None and history.abort_ms >= enqueued_ms:
        return aborted()
    if history.expired_leases >= MAX_EXPIRED_LEASES:
        return failed(
            WorkerLost(f"the workers that ran this job were lost {history.expired_leases} times")
        )
    if max_tries is None:
        if requeue_unknown and history.requeues < MAX_UNKNOWN_REQUEUES:
            delay_ms = round(UNKNOWN_DELAY.total_seconds() * 1000)
            return Decision(OutcomeKind.RELEASED, delay_ms=delay_ms, unknown=True)
        return failed(JobExecutionFailed(f"function {name!r} not found"))
    if number > max_tries:
        return failed(JobExecutionFailed(f"max {max_tries} retries exceeded"))
    return None
