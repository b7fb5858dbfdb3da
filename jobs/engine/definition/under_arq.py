"""Executions under arq's worker: each reports its own outcome, counters and dead letter."""

import asyncio
from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime, timedelta
from time import time
from typing import Any, Final
from weakref import WeakKeyDictionary

import structlog
from arq.connections import ArqRedis
from arq.jobs import serialize_job
from arq.worker import JobExecutionFailed, Retry
from redis.exceptions import RedisError

from jobs.engine.definition.failure import ends_the_process
from jobs.engine.definition.job import JobDefinition
from jobs.engine.monitoring.alerts import Alerts, post_alert
from jobs.engine.monitoring.counters import count_outcome
from jobs.engine.monitoring.log_masking import remember_arguments
from jobs.engine.monitoring.outcome_log import log_outcome, log_start, masked_error
from jobs.engine.queue.dead_letter import DeadLetter
from jobs.engine.queue.dead_letter_store import DeadLetterStore
from jobs.engine.queue.names import QueueNames
from jobs.engine.queue.outcome import Outcome, OutcomeKind
from jobs.privacy.error_text import error_message
from jobs.privacy.fields import named_arguments

logger = structlog.get_logger("jobs.engine")

_ALERTS: Final[WeakKeyDictionary[ArqRedis, Alerts]] = WeakKeyDictionary()

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


async def reported(
    job: JobDefinition, ctx: Mapping[str, Any], arguments: Arguments, attempt: Awaitable[Any]
) -> Any:
    """Await an execution, report its outcome, and pass its result or error on to arq.

    A canceled execution is reported as released: only arq knows whether it was aborted.

    Args:
        job: The job's definition.
        ctx: The job's context.
        arguments: The job's arguments.
        attempt: The execution.
    """
    queue = queue_of(job, ctx)
    started = time()
    log_start(ctx["job_id"], job.name, queue, ctx["job_try"])

    def outcome(
        kind: OutcomeKind,
        error: BaseException | None = None,
        retry_in: timedelta | None = None,
        fingerprint: str | None = None,
    ) -> Outcome:
        return Outcome(
            job_id=ctx["job_id"],
            function=job.name,
            queue=queue,
            kind=kind,
            try_number=ctx["job_try"],
            enqueued=ctx["enqueue_time"].timestamp(),
            started=started,
            finished=time(),
            error=None
            if error is None
            else masked_error(error, named_arguments(*arguments, job.parameters)),
            retry_in=retry_in,
            fingerprint=fingerprint,
        )

    redis: ArqRedis = ctx["redis"]
    try:
        result = await attempt
    except asyncio.CancelledError:
        log_outcome(outcome(OutcomeKind.RELEASED))
        raise
    except Retry as retry:
        wait = timedelta(milliseconds=retry.defer_score or 0)
        await _report(redis, outcome(OutcomeKind.RETRIED, retry.__cause__, wait))
        raise
    except BaseException as error:
        if ends_the_process(error):
            raise
        remember_arguments(error, named_arguments(*arguments, job.parameters))
        dead_letter = await _keep_dead_letter(job, ctx, queue, arguments, error)
        if dead_letter is None:
            await _report(redis, outcome(OutcomeKind.DISCARDED, error))
        else:
            fingerprint = dead_letter.fingerprint
            await _report(redis, outcome(OutcomeKind.DEAD, error, fingerprint=fingerprint))
        if not isinstance(error, Exception):  # arq's worker would exit with it
            raise JobExecutionFailed(f"{type(error).__name__}: {error_message(error)}") from error
        raise
    await _report(redis, outcome(OutcomeKind.DONE))
    return result


def queue_of(job: JobDefinition, ctx: Mapping[str, Any]) -> str:
    """Return the queue of a job: from the context if EngineSettings has set it, else by name."""
    queue: str | None = ctx.get("queue")
    if queue is not None:
        return queue
    names = QueueNames.from_settings()
    return names.canonical(job.queue) if job.queue else names.of_job(job.name)


def _alerts_by(redis: ArqRedis) -> Alerts:
    """Return the alerts of a pool. arq's worker has no observers, so they belong to its pool."""
    return _ALERTS.setdefault(redis, Alerts(post_alert, redis))


async def _report(redis: ArqRedis, outcome: Outcome) -> None:
    log_outcome(outcome)
    _alerts_by(redis)(outcome)
    try:
        await count_outcome(redis, outcome)
    except RedisError as error:
        logger.warning("counters_lost", job=outcome.function, error=str(error))


async def _keep_dead_letter(
    job: JobDefinition,
    ctx: Mapping[str, Any],
    queue: str,
    arguments: Arguments,
    error: BaseException,
) -> DeadLetter | None:
    if not job.dead_letter:
        return None
    redis: ArqRedis = ctx["redis"]
    store = DeadLetterStore(redis)
    enqueued_at: datetime = ctx["enqueue_time"]
    payload = await store.payload_of(ctx["job_id"]) or serialize_job(
        job.name,
        *arguments,
        None,
        round(enqueued_at.timestamp() * 1000),
        serializer=redis.job_serializer,
    )
    dead_letter = DeadLetter.of(
        error,
        job_id=ctx["job_id"],
        function=job.name,
        queue=queue,
        payload=payload,
        tries=ctx["job_try"],
        enqueued_at=enqueued_at,
        failed_at=datetime.now(UTC),
        parameters=job.parameters,
    )
    await store.add(dead_letter)
    return dead_letter
