"""Drop-in replacement for arq's worker: same constructor, same wire format.

`Worker(...)` takes the parameters of `arq.worker.Worker` and behaves like it. It survives crashes
and outages, and processes jobs in batches. Additional features are off until a parameter of this
class switches them on.
"""

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from signal import Signals
from typing import Any, cast

import arq.worker
from arq.connections import ArqRedis, RedisSettings, log_redis_info
from arq.cron import CronJob
from arq.typing import WorkerCoroutine
from arq.worker import Function

from jobs.clock import Clock, SystemClock
from jobs.engine.connection.connect import require_supported_version
from jobs.engine.connection.failures import TRANSIENT_ERRORS
from jobs.engine.connection.outage import Outage
from jobs.engine.definition.arguments import Body
from jobs.engine.monitoring.alerts import Hook as AlertHook
from jobs.engine.monitoring.health import WorkerHealth
from jobs.engine.queue import keys
from jobs.engine.queue.claim import Claim, Completion
from jobs.engine.queue.names import served_queues
from jobs.engine.queue.serializer import deserialize_or_unpickle
from jobs.engine.queue.servers import connect
from jobs.engine.scheduling.cron import Cron, refuse_duplicate_names
from jobs.engine.scheduling.scheduler import Scheduler
from jobs.engine.scheduling.timezones import as_zoneinfo, local_zone
from jobs.engine.worker.function_options import FunctionDefaults
from jobs.engine.worker.options import CountAttributes, ExecutorOptions, JobCounts, Observer
from jobs.engine.worker.parts import WorkerParts, build_parts
from jobs.engine.worker.periodic import qualified_name, run_periodically
from jobs.engine.worker.shutdown import Shutdown, canceled_jobs, last_write
from jobs.engine.worker.signals import reset_in_forks

logger = logging.getLogger("arq.worker")


class Worker(CountAttributes, arq.worker.Worker):
    """Worker with arq's interface.

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
        self.dead_letters = dead_letters
        self.counters = counters
        self._stopping = False
        self._canceled = False
        self._shutdown = Shutdown()
        self._background: list[asyncio.Task[None]] = []
        self._scheduler: Scheduler | None = None
        self._parts: WorkerParts
        """Exist from the first opening of the connections; in use while `_opened`."""
        self._opened = False
        self._opening = asyncio.Lock()

    # --- life cycle

    async def main(self) -> None:
        # 1. Open: connect, and build the parts.
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
        # 3. Run: claim jobs until a signal stops the worker or a burst has emptied the queues.
        self._limit_burst()
        await self._parts.fetcher.run()
        # 4. Drain: wait for running jobs and for their completions.
        await self._drain()
        # 5. Stop the periodic tasks. `close` closes the pool.
        await self._stop_background()
        await self._parts.channel.close()

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
        self._parts = build_parts(
            redis=self.pool,
            queues=self.queues,
            lease=self.lease,
            tasks=self.tasks,
            max_jobs=self.max_jobs,
            claim_limit=self.queue_read_limit,
            accepting=lambda: self.allow_pick_jobs and not self._stopping,
            jobs_started=self._jobs_started,
            start=self._start,
            release=self._release,
            poll_delay=self.poll_delay_s,
            with_aborts=self.allow_abort_jobs,
            options=self._executor_options(),
            counts=self._counts,
            serializer=self.job_serializer,
            expires_extra_ms=self.expires_extra_ms,
            observers=self.observers,
            on_dead_letter=self.on_dead_letter,
            dead_letters=self.dead_letters,
            counters=self.counters,
            log_results=self.log_results,
            health_keys=[self.health_check_key, *map(keys.health, self.queues[1:])],
            health_check_interval=self.health_check_interval,
        )
        self._limit_burst()
        if self._stopping:
            self._parts.fetcher.stop()

    def _executor_options(self) -> ExecutorOptions:
        return ExecutorOptions(
            functions=self.functions,
            defaults=FunctionDefaults(
                timeout=self.job_timeout_s,
                keep_result=self.keep_result_s,
                keep_result_forever=self.keep_result_forever,
                max_tries=self.max_tries,
            ),
            ctx=self.ctx,
            deserializer=self.job_deserializer,
            requeue_unknown=self.requeue_unknown,
            retry_jobs=self.retry_jobs,
            on_job_start=self.on_job_start,
            on_job_end=self.on_job_end,
            after_job_end=self.after_job_end,
        )

    def _limit_burst(self) -> None:
        """Apply the burst options, which `run_check` may change between two runs."""
        capacity = self._parts.capacity
        capacity.burst = self.burst
        limited = self.burst and self.max_burst_jobs >= 0
        capacity.burst_limit = self.max_burst_jobs if limited else None

    async def close(self) -> None:
        """Stop, and close the connections. Each stage is bounded; see `shutdown`."""
        if not self._handle_signals:
            self._cancel_running(Signals.SIGUSR1)
        if not self._pool:
            self._stopping = False
            return
        self._stopping = True
        # 1. End the work: jobs, completions, periodic tasks.
        if self._opened:
            await self._close_parts(self._parts)
        # 2. Call the user's hook.
        try:
            if self.on_shutdown:
                name = f"on_shutdown ({qualified_name(self.on_shutdown)})"
                await self._shutdown.stage(name, self.on_shutdown(self.ctx))
        # 3. Close the pool, and reset the worker: it may run again with another pool.
        finally:
            await self.pool.aclose(close_connection_pool=True)
            self._pool = None
            self._stopping, self.allow_pick_jobs = False, True
            self._shutdown, self._canceled = Shutdown(), False

    async def _close_parts(self, parts: WorkerParts) -> None:
        shutdown = self._shutdown
        # 1. Stop claiming, and requeue claims that are not started.
        parts.fetcher.stop()
        await shutdown.stage("the last claim", parts.fetcher.settle())
        # 2. Wait for running jobs. Unless they are canceled, their timeouts bound the wait.
        if self._canceled:
            labels = [execution.label for execution in parts.executor.running.values()]
            await shutdown.stage(canceled_jobs(labels), self._wait_for_jobs())
        else:
            await self._wait_for_jobs()
        parts.executor.close()
        # 3. Stop the periodic tasks.
        await shutdown.stage("background tasks", self._stop_background())
        # 4. Send the last completions.
        await last_write(parts.completer.drain())
        parts.completer.stop()
        # 5. Wait for alerts under way.
        if parts.alerts is not None:
            await shutdown.stage("alerts", parts.alerts.close())
        # 6. Close the connections of the parts, and remove the health keys.
        await parts.channel.close()
        self._opened, self._scheduler = False, None
        await last_write(parts.health_keys.remove())

    async def _wait_for_jobs(self) -> None:
        if self.tasks:
            await asyncio.wait(list(self.tasks.values()))

    # --- claims

    def _start(self, claims: Sequence[Claim]) -> None:
        if self._stopping:
            self._release(claims)
            return
        self._parts.leases.hold(claims)
        self._parts.executor.start(claims)

    def _release(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            self._parts.completer.add(Completion.requeue(claim))

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Claim and start as many due jobs as there are `job_ids`; the queue decides which."""
        await self._open()
        await self._claim(min(len(job_ids), self.max_jobs - len(self.tasks)))

    async def _poll_iteration(self) -> None:
        """Run one turn of arq's loop.

        Raises:
            TRANSIENT_ERRORS: Redis is unavailable.
        """
        await self._open()
        await super().heart_beat()
        await self._claim(self._parts.capacity.free())
        if self.allow_abort_jobs:
            await self._parts.aborts.cancel_requested()

    async def _claim(self, limit: int) -> None:
        if limit > 0:
            reply = await self._parts.operations.claim(limit, with_aborts=self.allow_abort_jobs)
            self._start(reply.claims)

    # --- background tasks

    async def record_health(self) -> None:
        """Write the health keys; log arq's line when the counts have changed."""
        queued = sum([await self.pool.zcard(queue) for queue in self.queues])
        counts = (
            f"j_complete={self.jobs_complete} j_failed={self.jobs_failed} "
            f"j_retried={self.jobs_retried} j_ongoing={len(self.tasks)} queued={queued}"
        )
        text = f"{datetime.now(self.timezone):%b-%d %H:%M:%S} {counts}"
        health = WorkerHealth(
            worker_id=self._parts.operations.worker_id,
            queues=self.queues,
            running=len(self.tasks),
            max_jobs=self.max_jobs,
            complete=self.jobs_complete,
            failed=self.jobs_failed,
            retried=self.jobs_retried,
        )
        await self._parts.health_keys.write(text, health)
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
                channel=self._parts.channel,
                clock=self.clock or self.ctx.get("clock") or SystemClock(),
                zone=self._zone,
                queue=self.queue_name,
                fired=self._parts.fetcher.changed.set,
            )
        await self._scheduler.tick()

    def _start_background(self) -> None:
        if self._background:
            return
        parts = self._parts
        periodic = [
            run_periodically(parts.leases.reclaim, parts.leases.reclaim_every),
            run_periodically(self.record_health, max(parts.health_keys.interval, 0.5)),
        ]
        if self._scheduler is not None:
            periodic.append(self._scheduler.run())
        if self.allow_abort_jobs:
            every = max(self.poll_delay_s, 0.05)
            periodic.append(run_periodically(parts.aborts.cancel_requested, every))
        self._background = [asyncio.create_task(coroutine) for coroutine in periodic]
        parts.leases.heartbeat.start()

    async def _stop_background(self) -> None:
        tasks, self._background = self._background, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._opened:
            await self._parts.leases.heartbeat.stop()

    # --- shutdown

    async def _drain(self) -> None:
        """Wait until running jobs have ended and Redis has their completions."""
        while self.tasks:
            await asyncio.wait(list(self.tasks.values()))
        if self._opened:
            await self._parts.completer.drain()

    def _add_signal_handler(self, signum: Signals, handler: Callable[[Signals], None]) -> None:
        reset_in_forks(signum)
        super()._add_signal_handler(signum, handler)

    def handle_sig(self, signum: Signals) -> None:
        """Cancel running jobs. A second signal shortens the shutdown."""
        if self._canceled:
            self._shutdown.hurry()
        self._cancel_running(signum)

    def _cancel_running(self, signum: Signals) -> None:
        self._canceled = True
        self._stop_claiming()
        if self._opened:
            self._parts.executor.mark_shutdown()
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
            self._parts.executor.mark_shutdown()
        self._job_completion_wait = 0
        await super()._wait_for_tasks_to_complete(signum)

    def _stop_claiming(self) -> None:
        self._stopping = True
        if self._opened:
            self._parts.fetcher.stop()


def _signature() -> inspect.Signature:
    """Return the parameters of arq's worker and of `Worker`, for code that looks up options."""
    of_arq = inspect.signature(arq.worker.Worker).parameters
    of_ours = inspect.signature(Worker).parameters
    own = [p for p in of_ours.values() if p.kind is not p.VAR_KEYWORD and p.name not in of_arq]
    return inspect.Signature([*of_arq.values(), *own])


Worker.__signature__ = _signature()  # type: ignore[attr-defined]  # read by inspect.signature
