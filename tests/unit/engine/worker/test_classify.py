"""Classification as a table: from the facts of one execution to the next step of the job."""

import asyncio
from collections.abc import Callable

import pytest
from arq.worker import JobExecutionFailed, Retry, RetryJob

from jobs.engine.queue.claim import MAX_EXPIRED_LEASES, History
from jobs.engine.queue.outcome import OutcomeKind
from jobs.engine.worker.classify import (
    MAX_UNKNOWN_REQUEUES,
    UNKNOWN_DELAY,
    Decision,
    classify_claim,
    classify_error,
)
from jobs.engine.worker.execution import CancelReason
from jobs.errors import WorkerLost

BUG = ValueError("bug")
ENQUEUED_MS = 1_000_000


def retry(cause: Exception | None = None, seconds: float | None = None) -> Retry:
    error = Retry(defer=seconds)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "reason", "expected"),
    [
        (BUG, None, (OutcomeKind.DEAD, ValueError, None)),
        (BUG, CancelReason.TIMEOUT, (OutcomeKind.DEAD, ValueError, None)),
        (asyncio.CancelledError(), CancelReason.TIMEOUT, (OutcomeKind.DEAD, TimeoutError, None)),
        (
            asyncio.CancelledError(),
            CancelReason.ABORT,
            (OutcomeKind.ABORTED, asyncio.CancelledError, None),
        ),
        (asyncio.CancelledError(), CancelReason.SHUTDOWN, (OutcomeKind.RELEASED, None, None)),
        (RetryJob(), CancelReason.SHUTDOWN, (OutcomeKind.RELEASED, None, None)),
        (asyncio.CancelledError(), None, (OutcomeKind.RETRIED, asyncio.CancelledError, None)),
        (RetryJob(), None, (OutcomeKind.RETRIED, RetryJob, None)),
        (retry(), None, (OutcomeKind.RETRIED, Retry, None)),
        (retry(BUG), None, (OutcomeKind.RETRIED, ValueError, None)),
        (retry(BUG, seconds=5), None, (OutcomeKind.RETRIED, ValueError, 5000)),
        (retry(seconds=5), CancelReason.SHUTDOWN, (OutcomeKind.RELEASED, None, None)),
        (BUG, CancelReason.SHUTDOWN, (OutcomeKind.RELEASED, None, None)),
        (BUG, CancelReason.ABORT, (OutcomeKind.ABORTED, asyncio.CancelledError, None)),
        (SystemExit(3), None, (OutcomeKind.DEAD, SystemExit, None)),
    ],
)
def test_error_decides_how_the_job_goes_on(
    error: BaseException,
    reason: CancelReason | None,
    expected: tuple[OutcomeKind, type[BaseException] | None, int | None],
) -> None:
    decision = classify_error(error, reason, retry_jobs=True, has_definition=True)
    error_class = None if decision.error is None else type(decision.error)
    assert (decision.kind, error_class, decision.delay_ms) == expected


@pytest.mark.parametrize(
    ("error", "has_definition", "expected"),
    [
        (retry(BUG), True, ValueError),
        (retry(BUG), False, Retry),
        (retry(), True, Retry),
        (asyncio.CancelledError(), True, asyncio.CancelledError),
        (BUG, True, ValueError),
    ],
)
def test_job_fails_for_good_without_retry_jobs(
    error: BaseException, has_definition: bool, expected: type[BaseException]
) -> None:
    decision = classify_error(error, None, retry_jobs=False, has_definition=has_definition)
    assert decision.kind is OutcomeKind.DEAD
    assert type(decision.error) is expected


def claim(
    history: History, *, number: int = 1, max_tries: int | None = 5, requeue: bool = True
) -> Decision | None:
    return classify_claim(
        history,
        name="lead.qualify",
        number=number,
        enqueued_ms=ENQUEUED_MS,
        max_tries=max_tries,
        requeue_unknown=requeue,
    )


@pytest.mark.parametrize(
    "run",
    [
        lambda: claim(History()),
        lambda: claim(History(tries=4), number=5),
        lambda: claim(History(abort_ms=ENQUEUED_MS - 1)),
        lambda: claim(History(expired_leases=MAX_EXPIRED_LEASES - 1)),
    ],
    ids=["new", "last try", "abort request of an earlier job", "suspect"],
)
def test_claimed_job_may_run(run: Callable[[], Decision | None]) -> None:
    assert run() is None


@pytest.mark.parametrize(
    ("run", "kind", "error"),
    [
        (lambda: claim(History(abort_ms=ENQUEUED_MS)), OutcomeKind.ABORTED, asyncio.CancelledError),
        (lambda: claim(History(expired_leases=MAX_EXPIRED_LEASES)), OutcomeKind.DEAD, WorkerLost),
        (lambda: claim(History(tries=5), number=6), OutcomeKind.DEAD, JobExecutionFailed),
        (
            lambda: claim(History(), max_tries=None, requeue=False),
            OutcomeKind.DEAD,
            JobExecutionFailed,
        ),
        (
            lambda: claim(History(requeues=MAX_UNKNOWN_REQUEUES), max_tries=None),
            OutcomeKind.DEAD,
            JobExecutionFailed,
        ),
    ],
    ids=["aborted", "workers lost", "no tries left", "unknown", "unknown for too long"],
)
def test_claimed_job_must_not_run(
    run: Callable[[], Decision | None], kind: OutcomeKind, error: type[BaseException]
) -> None:
    decision = run()
    assert decision is not None
    assert decision.kind is kind
    assert isinstance(decision.error, error)


def test_job_with_an_unknown_function_is_requeued_for_a_while() -> None:
    decision = claim(History(requeues=MAX_UNKNOWN_REQUEUES - 1), max_tries=None)
    assert decision is not None
    assert (decision.kind, decision.unknown) == (OutcomeKind.RELEASED, True)
    assert decision.delay_ms == UNKNOWN_DELAY.total_seconds() * 1000
