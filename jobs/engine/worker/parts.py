"""Worker parts: builds the collaborators of one worker and connects them."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from arq.connections import ArqRedis
from arq.jobs import Serializer
from redis.asyncio import ConnectionPool

from jobs.engine.connection.script_channel import ScriptChannel
from jobs.engine.monitoring.alerts import Alerts
from jobs.engine.monitoring.alerts import Hook as AlertHook
from jobs.engine.monitoring.health import HealthKeys
from jobs.engine.queue.claim import Claim, Completion
from jobs.engine.queue.operations import QueueOperations
from jobs.engine.queue.outcome import Outcome
from jobs.engine.queue.serializer import deserialize_or_unpickle
from jobs.engine.worker.aborts import Aborts
from jobs.engine.worker.capacity import Capacity
from jobs.engine.worker.completer import Completer
from jobs.engine.worker.completion import CompletionEncoder
from jobs.engine.worker.executor import Executor
from jobs.engine.worker.fetcher import Fetcher
from jobs.engine.worker.job_log import JobLog
from jobs.engine.worker.leases import Leases
from jobs.engine.worker.options import ExecutorOptions, JobCounts, Observer
from jobs.engine.worker.periodic import qualified_name
from jobs.engine.worker.polling import PollingInterval

logger = logging.getLogger("arq.worker")

_ANNOUNCE_AGAIN: Final = 5 / 6
"""Share of the time for which producers may hand jobs to an idle worker; then it claims again."""


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """Collaborators of one worker, from the opening of its connections to its end.

    Attributes:
        channel: Connection for scripts.
        operations: The queues, as this worker claims from them.
        capacity: Free slots.
        fetcher: Claims jobs.
        executor: Runs jobs.
        completer: Sends completions.
        aborts: Cancels jobs on request.
        leases: Keeps the leases of claims, and reclaims jobs of lost workers.
        health_keys: Publishes the heartbeat of this worker.
        alerts: Calls the hook for dead letters; None without a hook.
    """

    channel: ScriptChannel
    operations: QueueOperations
    capacity: Capacity
    fetcher: Fetcher
    executor: Executor
    completer: Completer
    aborts: Aborts
    leases: Leases
    health_keys: HealthKeys
    alerts: Alerts | None


def build_parts(
    *,
    redis: ArqRedis,
    queues: Sequence[str],
    lease: float,
    tasks: dict[str, asyncio.Task[Any]],
    max_jobs: int,
    claim_limit: int,
    accepting: Callable[[], bool],
    jobs_started: Callable[[], int],
    start: Callable[[Sequence[Claim]], None],
    release: Callable[[Sequence[Claim]], None],
    poll_delay: float,
    with_aborts: bool,
    options: ExecutorOptions,
    counts: JobCounts,
    serializer: Serializer | None,
    expires_extra_ms: int,
    observers: Sequence[Observer],
    on_dead_letter: AlertHook | None,
    dead_letters: bool,
    counters: bool,
    log_results: bool,
    health_keys: Sequence[str],
    health_check_interval: float,
) -> WorkerParts:
    """Return the parts of a worker, connected with each other.

    Args:
        redis: The pool of the worker. The parts open separate connections with its options.
        queues: The names of the queues.
        lease: Seconds that a claim is held without being renewed.
        tasks: The running jobs by id; the executor adds and removes them.
        max_jobs: Jobs that may run at once.
        claim_limit: Jobs that may be claimed at once.
        accepting: Return whether jobs may be started.
        jobs_started: Return the number of jobs started so far.
        start: Start claimed jobs.
        release: Requeue claimed jobs as they were.
        poll_delay: Seconds between two claims, unless Redis notifies of changes.
        with_aborts: Read abort requests with each claim.
        options: Options of the executor.
        counts: Counts of ended executions, which are updated.
        serializer: Writes results; None for pickle.
        expires_extra_ms: Milliseconds for which a requeued job is kept after it is due.
        observers: Receive the outcome of each execution. With observers, arq's log lines about
            jobs are left out.
        on_dead_letter: Hook for dead letters.
        dead_letters: Keep a dead letter of each job that failed for good.
        counters: Count outcomes in Redis, and write a health key per worker.
        log_results: Log the results of jobs.
        health_keys: arq's health-check keys.
        health_check_interval: Seconds between two heartbeats.
    """
    # redis-py leaves open whether the pool is asyncio's; arq's always is.
    connections: ConnectionPool = redis.connection_pool  # pyright: ignore[reportAssignmentType]
    channel = ScriptChannel(connections, lambda: fetcher.changed.set())
    operations = QueueOperations(channel, queues, lease)
    capacity = Capacity(
        tasks,
        max_jobs=max_jobs,
        claim_limit=claim_limit,
        accepting=accepting,
        started=jobs_started,
    )

    # From the end of an execution to Redis, and to the observers
    def on_settled(completions: Sequence[Completion]) -> None:
        leases.give_up([completion.claim for completion in completions])
        # Redis notifies other connections of this worker's changes, but not its own.
        if capacity.burst or any(completion.is_requeue for completion in completions):
            fetcher.changed.set()

    alerts = None if on_dead_letter is None else Alerts(on_dead_letter, redis)
    receivers: list[Observer] = [*observers]
    if alerts is not None:
        receivers.append(alerts)
    completer = Completer(
        operations,
        on_settled=on_settled,
        observe=partial(_observe, receivers) if receivers else None,
    )
    encoder = CompletionEncoder(
        counts=counts,
        serializer=serializer,
        like_payload=options.deserializer is deserialize_or_unpickle,
        expires_extra_ms=expires_extra_ms,
        unknown_keep_ms=options.defaults.keep_ms(),
        counters=counters,
        observed=bool(receivers),
        dead_letters=dead_letters,
    )
    log = JobLog(verbose=not observers, log_results=log_results)
    executor = Executor(options, tasks, completer, encoder, log)

    # From Redis to the start of an execution
    fetcher = Fetcher(
        operations,
        capacity,
        connections,
        start=start,
        release=release,
        lease=lease,
        with_aborts=with_aborts,
        polling=PollingInterval(poll_delay, operations.handoff_window_ms / 1000 * _ANNOUNCE_AGAIN),
        tracks=lambda: channel.tracks,
    )
    executor.on_slot_freed = fetcher.slot_freed
    leases = Leases(
        operations,
        redis,
        queues,
        lease,
        on_lost=executor.cancel_lost,
        on_reclaimed=fetcher.changed.set,
    )
    return WorkerParts(
        channel=channel,
        operations=operations,
        capacity=capacity,
        fetcher=fetcher,
        executor=executor,
        completer=completer,
        aborts=Aborts(redis, executor.running),
        leases=leases,
        health_keys=HealthKeys(
            redis, operations.worker_id, health_keys, health_check_interval, own_key=counters
        ),
        alerts=alerts,
    )


def _observe(receivers: Sequence[Observer], outcome: Outcome) -> None:
    for receiver in receivers:
        try:
            receiver(outcome)
        except Exception:
            logger.exception("%s failed for job %s", qualified_name(receiver), outcome.job_id)
