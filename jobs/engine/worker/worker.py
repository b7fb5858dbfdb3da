"""Drop-in replacement for arq's worker: same constructor, same wire format.

`Worker(...)` takes the parameters of `arq.worker.Worker` and behaves like it. It survives crashes
and outages, and processes jobs in batches. Further features are off until a parameter of our own
switches them on.
"""

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from signal import Signals
from typing import Any, Final, cast

import arq.worker
from arq.connections import ArqRedis, RedisSettings, log_redis_info
from arq.cron import CronJob
from arq.typing import WorkerCoroutine
from arq.worker import Function
from redis.asyncio import ConnectionPool

from jobs.clock import Clock, SystemClock
from jobs.engine.connection.connect import require_supported_version
from jobs.engine.connection.failures import TRANSIENT_ERRORS
from jobs.engine.connection.outage import Outage
from jobs.engine.connection.script_channel import ScriptChannel
from jobs.engine.definition.arguments import Body
from jobs.engine.monitoring.alerts import Alerts
from jobs.engine.monitoring.alerts import Hook as AlertHook
from jobs.engine.monitoring.health import HealthKeys, WorkerHealth
from jobs.engine.queue import keys
from jobs.engine.queue.claim import Claim, Completion
from jobs.engine.queue.names import served_queues
from jobs.engine.queue.operations import QueueOperations
from jobs.engine.queue.outcome import Outcome
from jobs.engine.queue.serializer import deserialize_or_unpickle
from jobs.engine.queue.servers import connect
from jobs.engine.scheduling.cron import Cron, refuse_duplicate_names
from jobs.engine.scheduling.scheduler import Scheduler
from jobs.engine.scheduling.timezones import as_zoneinfo, local_zone
from jobs.engine.worker.aborts import Aborts
from jobs.engine.worker.capacity import Capacity
from jobs.engine.worker.completer import Completer
from jobs.engine.worker.completion import CompletionEncoder
from jobs.engine.worker.executor import CLOSING_TIMEOUT, Executor
from jobs.engine.worker.fetcher import Fetcher
from jobs.engine.worker.function_options import FunctionDefaults
from jobs.engine.worker.job_log import JobLog
from jobs.engine.worker.leases import Leases
from jobs.engine.worker.options import ExecutorOptions, JobCounts
from jobs.engine.worker.periodic import qualified_name, run_periodically
from jobs.engine.worker.polling import PollingInterval
from jobs.engine.worker.shutdown import Shutdown
from jobs.engine.worker.signals import reset_in_forks

logger = logging.getLogger("arq.worker")

Observer = Callable[[Outcome], None]

_ANNOUNCE_AGAIN: Final = 5 / 6
"""Share of the time for which producers may hand jobs to an idle worker; then it claims again."""
_LABELS_SHOWN: Final = 5


class Worker(arq.worker.Worker):
    """Runs jobs.

    Args:
        functions: Functions and `arq.func(...)` entries, as in arq.
        queues: Several queues instead of `queue_name`, served in turn.
        lease: Seconds after which the jobs of an unresponsive worker are requeued. The heartbeat
            renews the lease three times as often.
        dead_letters: Keep a dead letter of each job that failed for good.
        requeue_unknown: Requeue a job whose function this worker does not know: another worker may
            know it. After five minutes the job fails.
        clock: Business time for schedules; by default `ctx["clock"]`, else the system clock.
        observers: Receive the outcome of each execution. arq's log lines about jobs are left to
            them.
        on_dead_letter: Is called in the background for dead letters; see
            `jobs.engine.monitoring.alerts`.
        counters: Count outcomes and durations in Redis, for all workers of a queue, and write a
            health key per worker.
        put_back_unknown: The former name of `requeue_unknown`.
        arq_options: All other parameters of `arq.worker.Worker`.
    """

    def __init__(
        self,
        functions: Sequence[Function | Body] = (),
        *,
        queues: Sequence[str] | None = None,
        lease: float = 15,
        dead_letters: bool = False,
        requeue_unknown: bool = False,
        clock: Clock | None = None,
        observers: Sequence[Observer] = (),
        on_dead_letter: AlertHook | None = None,
        counters: bool = False,
        put_back_unknown: bool | None = None,
        **arq_options: Any,
    ) -> None:
        if queues:
            arq_options["queue_name"] = queues[0]
        crons = arq_options.get("cron_jobs") or ()
        arq_options["cron_jobs"] = [
            Cron.adopt(cron) if isinstance(cron, CronJob) else cron for cron in crons
        ]
        zone = arq_options.get("timezone")
        self._counts = JobCounts()
        super().__init__(cast("Sequence[Function | WorkerCoroutine]", functions), **arq_options)
        refuse_duplicate_names(self.cron_jobs)
        self._zone = local_zone() if zone is None else as_zoneinfo(zone)
        self.queues = served_queues(queues or [self.queue_name])
        self.lease = lease
        self.requeue_unknown = requeue_unknown if put_back_unknown is None else put_back_unknown
        self.clock = clock
        self.observers = list(observers)
        self.on_dead_letter = on_dead_letter
        self._alerts: Alerts | None = None
        self.dead_letters = dead_letters
        self.counters = counters
        self._stopping = False
        self._canceled = False
        self._shutdown = Shutdown()
        self._background: list[asyncio.Task[None]] = []
        self._scheduler: Scheduler | None = None
        self._opened = False
        self._opening = asyncio.Lock()

    # --- arq's counts

    @property
    def jobs_complete(self) -> int:
        """Executions that returned."""
        return self._counts.complete

    @jobs_complete.setter
    def jobs_complete(self, count: int) -> None:
        self._counts.complete = count

    @property
    def jobs_failed(self) -> int:
        """Executions that failed for good or were aborted."""
        return self._counts.failed

    @jobs_failed.setter
    def jobs_failed(self, count: int) -> None:
        self._counts.failed = count

    @property
    def jobs_retried(self) -> int:
        """Executions that ended with a retry or a release."""
        return self._counts.retried

    @jobs_retried.setter
    def jobs_retried(self, count: int) -> None:
        self._counts.retried = count

    # --- life cycle

    async def main(self) -> None:
        # 1. Open: connect, and wire the parts together.
        await self._open()
        if self.job_deserializer in (None, deserialize_or_unpickle):
            logger.warning(
                "accepting pickles: whoever can write to Redis can run code in this worker"
            )
        logger.info(
            "Starting worker for %d functions: %s", len(self.functions), ", ".join(self.functions)
        )
        await require_supported_version(self.pool)
        await log_redis_info(self.pool, logger.info)
        if self.on_startup:
            await self.on_startup(self.ctx)
        # 2. Start: the first heartbeat, and the periodic tasks.
        await self.heart_beat()
        self._start_background()
        # 3. Run: claim jobs until told to stop, or until a burst has emptied the queues.
        self._limit_burst()
        await self._fetcher.run()
        # 4. Drain: wait for running jobs and for their completions.
        await self._drain()
        # 5. Stop the periodic tasks. `close` closes the connections.
        await self._stop_background()
        await self._channel.close()

    async def _open(self) -> None:
        async with self._opening:  # `start_jobs` may be called several times at once
            if not self._opened:
                await self._open_once()
                self._opened = True

    async def _open_once(self) -> None:
        if self._pool is None:
            self._pool = ArqRedis(
                await connect(self.redis_settings or RedisSettings()),
                self.job_serializer,
                self.job_deserializer,
                self.queue_name,
                self.expires_extra_ms,
            )
        self.ctx["redis"] = self.pool
        if self.dead_letters:
            self.ctx["engine"] = self
        # redis-py leaves open whether the pool is asyncio's; arq's always is.
        self._connections: ConnectionPool = self.pool.connection_pool  # pyright: ignore[reportAssignmentType]
        self._wire_completions()
        self._wire_claims()

    def _wire_completions(self) -> None:
        """Make the parts that a job passes after its claim: executor, encoder, completer."""
        defaults = FunctionDefaults(
            timeout=self.job_timeout_s,
            keep_result=self.keep_result_s,
            keep_result_forever=self.keep_result_forever,
            max_tries=self.max_tries,
        )
        self._channel = ScriptChannel(self._connections, lambda: self._fetcher.changed.set())
        self._operations = QueueOperations(self._channel, self.queues, self.lease)
        receivers = list(self.observers)
        if self.on_dead_letter is not None:
            self._alerts = Alerts(self.on_dead_letter, self.pool)
            receivers.append(self._alerts)
        self._receivers = receivers
        self._completer = Completer(
            self._operations,
            on_settled=self._on_settled,
            observe=self._observe if receivers else None,
        )
        self._executor = Executor(
            ExecutorOptions(
                functions=self.functions,
                defaults=defaults,
                ctx=self.ctx,
                deserializer=self.job_deserializer,
                requeue_unknown=self.requeue_unknown,
                retry_jobs=self.retry_jobs,
                on_job_start=self.on_job_start,
                on_job_end=self.on_job_end,
                after_job_end=self.after_job_end,
            ),
            self.tasks,
            self._completer,
            CompletionEncoder(
                counts=self._counts,
                serializer=self.job_serializer,
                like_payload=self.job_deserializer is deserialize_or_unpickle,
                expires_extra_ms=self.expires_extra_ms,
                unknown_keep_ms=defaults.keep_ms(),
                counters=self.counters,
                observed=bool(receivers),
                dead_letters=self.dead_letters,
            ),
            JobLog(verbose=not self.observers, log_results=self.log_results),
        )
        self._aborts = Aborts(self.pool, self._executor.running)

    def _wire_claims(self) -> None:
        """Make the parts that bring jobs and keep their leases: capacity, fetcher, leases."""
        self._capacity = Capacity(
            self.tasks,
            max_jobs=self.max_jobs,
            claim_limit=self.queue_read_limit,
            accepting=lambda: self.allow_pick_jobs and not self._stopping,
            started=self._jobs_started,
        )
        self._limit_burst()
        self._fetcher = Fetcher(
            self._operations,
            self._capacity,
            self._connections,
            start=self._start,
            release=self._release,
            lease=self.lease,
            with_aborts=self.allow_abort_jobs,
            polling=PollingInterval(
                self.poll_delay_s, self._operations.handoff_window_ms / 1000 * _ANNOUNCE_AGAIN
            ),
            tracks=lambda: self._channel.tracks,
        )
        self._executor.on_slot_freed = self._fetcher.slot_freed
        if self._stopping:
            self._fetcher.stop()
        self._leases = Leases(
            self._operations,
            self.pool,
            self.queues,
            self.lease,
            on_lost=self._executor.cancel_lost,
            on_reclaimed=self._fetcher.changed.set,
        )
        self._health = HealthKeys(
            self.pool,
            self._operations.worker_id,
            [self.health_check_key, *map(keys.health, self.queues[1:])],
            self.health_check_interval,
            own_key=self.counters,
        )

    def _limit_burst(self) -> None:
        """Apply the burst options, which `run_check` may change between two runs."""
        self._capacity.burst = self.burst
        limited = self.burst and self.max_burst_jobs >= 0
        self._capacity.burst_limit = self.max_burst_jobs if limited else None

    async def close(self) -> None:
        """Stop, and close the connections. Each stage is bounded; see `shutdown`."""
        if not self._handle_signals:
            self._cancel_running(Signals.SIGUSR1)
        if not self._pool:
            self._stopping = False
            return
        self._stopping = True
        shutdown = self._shutdown
        if self._opened:
            self._fetcher.stop()
            await shutdown.stage("the last claim", self._fetcher.settle())
            if self._canceled:
                await shutdown.stage(self._running_jobs(), self._wait_for_jobs())
            else:  # the jobs' own timeouts bound the wait
                await self._wait_for_jobs()
            self._executor.close()
            await shutdown.stage("background tasks", self._stop_background())
            await _unless_unavailable(self._completer.drain())
            self._completer.stop()
            if self._alerts is not None:
                await shutdown.stage("alerts", self._alerts.close())
            await self._channel.close()
            self._opened, self._scheduler = False, None
            await _unless_unavailable(self._health.remove())
        try:
            if self.on_shutdown:
                name = f"on_shutdown ({qualified_name(self.on_shutdown)})"
                await shutdown.stage(name, _awaited(self.on_shutdown(self.ctx)))
        finally:
            await self.pool.aclose(close_connection_pool=True)
            self._pool = None
            self._stopping, self.allow_pick_jobs = False, True
            self._shutdown, self._canceled = Shutdown(), False

    def _running_jobs(self) -> str:
        labels = [execution.label for execution in self._executor.running.values()]
        shown = ", ".join(labels[:_LABELS_SHOWN])
        more = len(labels) - _LABELS_SHOWN
        return f"jobs that ignore their cancellation: {shown}" + (f" and {more} more" * (more > 0))

    async def _wait_for_jobs(self) -> None:
        if self.tasks:
            await asyncio.wait(list(self.tasks.values()))

    # --- claims

    def _start(self, claims: Sequence[Claim]) -> None:
        if self._stopping:
            self._release(claims)
            return
        self._leases.hold(claims)
        self._executor.start(claims)

    def _release(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            self._completer.add(Completion.requeue(claim))

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Claim and start as many due jobs as there are `job_ids`; the queue decides which."""
        await self._open()
        await self._claim(min(len(job_ids), self.max_jobs - len(self.tasks)))

    async def _poll_iteration(self) -> None:
        """Take one turn of arq's loop. Raises TRANSIENT_ERRORS during an outage."""
        await self._open()
        await super().heart_beat()
        await self._claim(self._capacity.free())
        if self.allow_abort_jobs:
            await self._aborts.cancel_requested()

    async def _claim(self, limit: int) -> None:
        if limit > 0:
            reply = await self._operations.claim(limit, with_aborts=self.allow_abort_jobs)
            self._start(reply.claims)

    # --- completions

    def _on_settled(self, completions: Sequence[Completion]) -> None:
        self._leases.give_up([completion.claim for completion in completions])
        # Redis notifies other connections of this worker's changes, but not its own.
        if self.burst or any(completion.is_requeue for completion in completions):
            self._fetcher.changed.set()

    def _observe(self, outcome: Outcome) -> None:
        for receiver in self._receivers:
            try:
                receiver(outcome)
            except Exception:
                logger.exception("%s failed for job %s", qualified_name(receiver), outcome.job_id)

    # --- background tasks

    async def record_health(self) -> None:
        """Write the health keys; log arq's line when the counts have changed."""
        queued = sum([await self.pool.zcard(queue) for queue in self.queues])
        counts = (
            f"j_complete={self.jobs_complete} j_failed={self.jobs_failed} "
            f"j_retried={self.jobs_retried} j_ongoing={len(self.tasks)} queued={queued}"
        )
        text = f"{datetime.now(self.timezone):%b-%d %H:%M:%S} {counts}"
        await self._health.write(text, WorkerHealth.of(self, self._operations.worker_id))
        if self._last_health_check_log not in (None, counts):
            logger.info("recording health: %s", text)
        self._last_health_check_log = counts

    async def heart_beat(self) -> None:
        """Write the health keys and fire due schedules. Outages are logged."""
        fire = partial(self.run_cron, datetime.now(self.timezone), 0)
        outage = Outage("the heartbeat")
        for action in (self.record_health, fire):
            try:
                await action()
            except TRANSIENT_ERRORS as error:
                outage.report(error)

    async def run_cron(self, n: datetime, delay: float, num_windows: int = 2) -> None:
        """Fire due schedules. The clock gives the time; arq's arguments are ignored."""
        if self._scheduler is None:
            self._scheduler = Scheduler(
                [cron for cron in self.cron_jobs if isinstance(cron, Cron)],
                redis=self.pool,
                channel=self._channel,
                clock=self.clock or self.ctx.get("clock") or SystemClock(),
                zone=self._zone,
                queue=self.queue_name,
                fired=self._fetcher.changed.set,
            )
        await self._scheduler.tick()

    def _start_background(self) -> None:
        if self._background:
            return
        periodic = [
            run_periodically(self._leases.reclaim, self._leases.reclaim_every),
            run_periodically(self.record_health, max(self._health.interval, 0.5)),
        ]
        if self._scheduler is not None:
            periodic.append(self._scheduler.run())
        if self.allow_abort_jobs:
            every = max(self.poll_delay_s, 0.05)
            periodic.append(run_periodically(self._aborts.cancel_requested, every))
        self._background = [asyncio.create_task(coroutine) for coroutine in periodic]
        self._leases.heartbeat.start()

    async def _stop_background(self) -> None:
        tasks, self._background = self._background, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._opened:
            await self._leases.heartbeat.stop()

    # --- shutdown

    async def _drain(self) -> None:
        """Wait for running jobs, and until Redis has their completions."""
        while self.tasks:
            await asyncio.wait(list(self.tasks.values()))
        if self._opened:
            await self._completer.drain()

    def _add_signal_handler(self, signum: Signals, handler: Callable[[Signals], None]) -> None:
        reset_in_forks(signum)
        super()._add_signal_handler(signum, handler)

    def handle_sig(self, signum: Signals) -> None:
        """Cancel what runs. A second signal shortens the shutdown."""
        if self._canceled:
            self._shutdown.hurry()
        self._cancel_running(signum)

    def _cancel_running(self, signum: Signals) -> None:
        self._canceled = True
        self._stop_claiming()
        if self._opened:
            self._executor.mark_shutdown()
        super().handle_sig(signum)

    def handle_sig_wait_for_completion(self, signum: Signals) -> None:
        """Let running jobs end within `job_completion_wait`; a second signal ends the wait."""
        if self._stopping:
            self.handle_sig(signum)
            return
        self._stop_claiming()
        super().handle_sig_wait_for_completion(signum)

    async def _wait_for_tasks_to_complete(self, signum: Signals) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._job_completion_wait):
                await self._drain()
        if self._opened:
            self._executor.mark_shutdown()
        self._job_completion_wait = 0
        await super()._wait_for_tasks_to_complete(signum)

    def _stop_claiming(self) -> None:
        self._stopping = True
        if self._opened:
            self._fetcher.stop()


async def _awaited(awaitable: Awaitable[object]) -> None:
    await awaitable


async def _unless_unavailable(last: Awaitable[None]) -> None:
    """Await one of the last writes, as long as Redis is available for it."""
    with contextlib.suppress(*TRANSIENT_ERRORS):
        async with asyncio.timeout(CLOSING_TIMEOUT):
            await last


def _signature() -> inspect.Signature:
    """Return arq's parameters and ours, for code that looks up the known options."""
    of_arq = inspect.signature(arq.worker.Worker).parameters
    of_ours = inspect.signature(Worker).parameters
    own = [p for p in of_ours.values() if p.kind is not p.VAR_KEYWORD and p.name not in of_arq]
    return inspect.Signature([*of_arq.values(), *own])


Worker.__signature__ = _signature()  # type: ignore[attr-defined]  # read by inspect.signature
