"""The worker: arq's, by constructor and by wire format, that loses nothing, sticks at nothing, and
moves jobs by the batch.

`Worker(...)` takes all that `arq.worker.Worker` takes and behaves like it; what goes beyond is
switched on by the parameters of its own.
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
from jobs.engine.definition.job import Body
from jobs.engine.monitoring.alerts import Alerts
from jobs.engine.monitoring.alerts import Hook as AlertHook
from jobs.engine.monitoring.health import Health, Sign
from jobs.engine.queue import keys
from jobs.engine.queue.claim import Claim, Completion
from jobs.engine.queue.names import served
from jobs.engine.queue.operations import QueueOperations
from jobs.engine.queue.outcome import Outcome
from jobs.engine.queue.servers import connect
from jobs.engine.scheduling.cron import Cron, refuse_duplicate_names
from jobs.engine.scheduling.scheduler import Scheduler
from jobs.engine.scheduling.timezones import local_zone, with_rules
from jobs.engine.worker.completer import Completer
from jobs.engine.worker.completion import CompletionEncoder
from jobs.engine.worker.executor import CLOSING_PATIENCE, Executor
from jobs.engine.worker.fetcher import Fetcher
from jobs.engine.worker.function_options import keep_ms
from jobs.engine.worker.leases import Leases
from jobs.engine.worker.periodic import qualified_name, run_periodically
from jobs.engine.worker.polling import PollingInterval

logger = logging.getLogger("arq.worker")

Observer = Callable[[Outcome], None]
Hook = Callable[[dict[Any, Any]], Awaitable[Any]]

_IN_TIME: Final = 5 / 6
"""Of the time for which a worker waits to be handed jobs: then it says so again."""


class Worker(arq.worker.Worker):
    """Runs jobs. All of arq's parameters, as they are there, and these:

    queues: several queues in place of `queue_name`, served in turn.
    lease: seconds after which the jobs of a worker that fell silent go to another; it shows a
        sign of life three times as often.
    dead_letters: a job that failed for good is kept, to be looked at and retried.
    put_back_unknown: a job whose function is not known here is looked at again later, as another
        worker may know it, before it fails.
    clock: business time, for schedules; by default what `on_startup` puts into `ctx["clock"]`,
        else the machine's.
    observers: are shown the outcome of each try; arq's own log lines about jobs are left out then.
    on_dead_letter: is told of dead letters in the background; see `jobs.engine.monitoring.alerts`.
    counters: outcomes and durations are counted in Redis, for all workers of a queue together,
        and each worker has a health key of its own.
    """

    def __init__(
        self,
        functions: Sequence[Function | Body] = (),
        *,
        queues: Sequence[str] | None = None,
        lease: float = 15,
        dead_letters: bool = False,
        put_back_unknown: bool = False,
        clock: Clock | None = None,
        observers: Sequence[Observer] = (),
        on_dead_letter: AlertHook | None = None,
        counters: bool = False,
        **arq_options: Any,
    ) -> None:
        if queues:
            arq_options["queue_name"] = queues[0]
        crons = arq_options.get("cron_jobs") or ()
        arq_options["cron_jobs"] = [
            Cron.adopt(one) if isinstance(one, CronJob) else one for one in crons
        ]
        zone = arq_options.get("timezone")
        super().__init__(cast("Sequence[Function | WorkerCoroutine]", functions), **arq_options)
        refuse_duplicate_names(self.cron_jobs)
        self._zone = local_zone() if zone is None else with_rules(zone)
        self.queues = served(queues or [self.queue_name])
        self.lease = lease
        self.put_back_unknown = put_back_unknown
        self.clock = clock
        self.observers = list(observers)
        self.on_dead_letter = on_dead_letter
        self._alerts: Alerts | None = None
        self.dead_letters = dead_letters
        self.counters = counters
        self._stopping = False
        self._duties: list[asyncio.Task[None]] = []
        self._schedule: Scheduler | None = None
        self._opened = False
        self._opening = asyncio.Lock()

    # --- opening and closing

    async def main(self) -> None:
        await self._open()
        if self.job_serializer is None:
            logger.warning(
                "jobs are pickled, as arq does by default: whoever can write to Redis can run code "
                "in this worker; pass job_serializer and job_deserializer for JSON"
            )
        logger.info(
            "Starting worker for %d functions: %s", len(self.functions), ", ".join(self.functions)
        )
        await require_supported_version(self.pool)
        await log_redis_info(self.pool, logger.info)
        if self.on_startup:
            await self.on_startup(self.ctx)
        await self.heart_beat()
        self._start_duties()
        await self._claiming.run()
        await self._settle()
        await self._stop_duties()
        await self._channel.close()

    async def _open(self) -> None:
        async with self._opening:  # `start_jobs` may be called several times at once
            if not self._opened:
                await self._open_once()

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
        connections: ConnectionPool = self.pool.connection_pool  # pyright: ignore[reportAssignmentType]
        self._channel = ScriptChannel(connections, lambda: self._claiming.changed.set())
        self._claims = QueueOperations(self._channel, self.queues, self.lease)
        self._claiming = Fetcher(
            self._claims,
            self,
            connections,
            with_aborts=self.allow_abort_jobs,
            pauses=PollingInterval(
                self.poll_delay_s, quiet=self._claims.waits_ms / 1000 * _IN_TIME
            ),
            tracks=lambda: self._channel.tracks,
        )
        if self._stopping:
            self._claiming.stop()
        self._leases = Leases(
            self._claims,
            self.pool,
            self.queues,
            self.lease,
            on_lost=lambda claim: self._tries.lost(claim),
            on_back=self._claiming.changed.set,
        )
        self._told = list(self.observers)
        if self.on_dead_letter is not None:
            self._alerts = Alerts(self.on_dead_letter, self.pool)
            self._told.append(self._alerts)
        self._finisher = Completer(
            self._claims,
            given_up=self._given_up,
            observe=self._observe if self._told else None,
        )
        endings = CompletionEncoder(
            tally=self,
            serializer=self.job_serializer,
            expires_extra_ms=self.expires_extra_ms,
            retry_jobs=self.retry_jobs,
            unread_keep_ms=keep_ms(None, None, self),
            log_results=self.log_results,
            counts=self.counters,
            tells=bool(self._told),
            chatty=not self.observers,
            dead_letters=self.dead_letters,
        )
        self._tries = Executor(self, self._finisher, endings, freed=self._claiming.slot_freed)
        self._health = Health(
            self.pool,
            self._claims.worker_id,
            [self.health_check_key, *map(keys.health, self.queues[1:])],
            self.health_check_interval,
            own_key=self.counters,
        )
        self._opened = True

    async def close(self) -> None:
        if not self._handle_signals:
            self.handle_sig(Signals.SIGUSR1)
        if not self._pool:
            self._stopping = False
            return
        self._stopping = True
        if self._opened:
            self._claiming.stop()
            await self._claiming.settle()
            await asyncio.gather(*self.tasks.values(), return_exceptions=True)
            self._tries.close()
            await self._stop_duties()
            await _within_patience(self._finisher.drain())
            self._finisher.stop()
            if self._alerts is not None:
                await self._alerts.close()
            await self._channel.close()
            self._opened, self._schedule = False, None
            await _within_patience(self._health.remove())
        try:
            if self.on_shutdown:
                await self.on_shutdown(self.ctx)
        finally:
            await self.pool.aclose(close_connection_pool=True)
            self._pool = None
            self._stopping, self.allow_pick_jobs = False, True

    # --- claiming

    def free(self) -> int:
        """How many jobs may be started now."""
        if not self.allow_pick_jobs or self._stopping:
            return 0
        free = min(self.max_jobs - len(self.tasks), self.queue_read_limit)
        if self.burst and self.max_burst_jobs >= 0:
            free = min(free, self.max_burst_jobs - self._jobs_started())
        return free

    def idle(self) -> bool:
        """Whether nothing runs, and a job would be started."""
        return not self.tasks and self.allow_pick_jobs

    def claims_ahead(self) -> bool:
        """Whether more may be claimed than can be started: not where the jobs are numbered."""
        return not (self.burst and self.max_burst_jobs >= 0)

    def burst_is_over(self) -> bool:
        """Whether a burst has had the jobs that it may have."""
        return self.burst and 0 <= self.max_burst_jobs <= self._jobs_started()

    def start(self, claims: Sequence[Claim]) -> None:
        """Run what was claimed."""
        if self._stopping:
            self.give_back(claims)
            return
        self._leases.hold(claims)
        self._tries.start_all(claims)

    def give_back(self, claims: Sequence[Claim]) -> None:
        """Put back what was claimed, as it was."""
        for claim in claims:
            self._finisher.add(Completion.again(claim))

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Claim and start up to that many jobs that are due; the queue decides which."""
        await self._open()
        await self._claim(min(len(job_ids), self.max_jobs - len(self.tasks)))

    async def _poll_iteration(self) -> None:
        """One turn of the loop, for those who drive it themselves, and hear of an outage."""
        await self._open()
        await super().heart_beat()
        await self._claim(self.free())
        if self.allow_abort_jobs:
            await self._tries.cancel_aborted()

    async def _claim(self, limit: int) -> None:
        if limit > 0:
            claimed = await self._claims.claim(limit, with_aborts=self.allow_abort_jobs)
            self.start(claimed.claims)

    # --- what others report

    def _given_up(self, finishes: Sequence[Completion]) -> None:
        self._leases.give_up([finish.claim for finish in finishes])
        # Redis tells others of what this worker changes, not itself.
        if self.burst or any(finish.runs_again for finish in finishes):
            self._claiming.changed.set()

    def _observe(self, outcome: Outcome) -> None:
        for observer in self._told:
            try:
                observer(outcome)
            except Exception:
                logger.exception("%s failed for job %s", qualified_name(observer), outcome.job_id)

    # --- duties beside the jobs

    async def record_health(self) -> None:
        """Give a sign of life; arq's line of it is logged when it says something new."""
        queued = sum([await self.pool.zcard(queue) for queue in self.queues])
        counts = (
            f"j_complete={self.jobs_complete} j_failed={self.jobs_failed} "
            f"j_retried={self.jobs_retried} j_ongoing={len(self.tasks)} queued={queued}"
        )
        text = f"{datetime.now(self.timezone):%b-%d %H:%M:%S} {counts}"
        await self._health.write(text, Sign.of(self, self._claims.worker_id))
        if self._last_health_check_log not in (None, counts):
            logger.info("recording health: %s", text)
        self._last_health_check_log = counts

    async def heart_beat(self) -> None:
        """As arq's; where Redis is away, the duties give the next sign of life."""
        fire = partial(self.run_cron, datetime.now(self.timezone), 0)
        outage = Outage("a sign of life")
        for beat in (self.record_health, fire):
            try:
                await beat()
            except TRANSIENT_ERRORS as error:
                outage.met(error)

    async def run_cron(self, n: datetime, delay: float, num_windows: int = 2) -> None:
        """Fire the crons that are due. The time is the clock's, so the arguments do not matter."""
        if self._schedule is None:
            self._schedule = Scheduler(
                [one for one in self.cron_jobs if isinstance(one, Cron)],
                redis=self.pool,
                channel=self._channel,
                clock=self.clock or self.ctx.get("clock") or SystemClock(),
                zone=self._zone,
                queue=self.queue_name,
                fired=self._claiming.changed.set,
            )
        await self._schedule.tick()

    def _start_duties(self) -> None:
        if self._duties:
            return
        duties = [
            run_periodically(self._leases.reap, self._leases.reap_every),
            run_periodically(self.record_health, max(self._health.interval, 0.5)),
        ]
        if self._schedule is not None:
            duties.append(self._schedule.run())
        if self.allow_abort_jobs:
            duties.append(
                run_periodically(self._tries.cancel_aborted, max(self.poll_delay_s, 0.05))
            )
        self._duties = [asyncio.create_task(duty) for duty in duties]
        self._leases.heartbeat.start()

    async def _stop_duties(self) -> None:
        duties, self._duties = self._duties, []
        for duty in duties:
            duty.cancel()
        await asyncio.gather(*duties, return_exceptions=True)
        if self._opened:
            await self._leases.heartbeat.stop()

    # --- stopping

    async def _settle(self) -> None:
        """Wait until what runs has ended, and its end is in Redis."""
        while self.tasks:
            await asyncio.wait(list(self.tasks.values()))
        if self._opened:
            await self._finisher.drain()

    def handle_sig(self, signum: Signals) -> None:
        self._stop_claiming()
        if self._opened:
            self._tries.release_all()
        super().handle_sig(signum)

    def handle_sig_wait_for_completion(self, signum: Signals) -> None:
        """Let what runs end within `job_completion_wait`; a second signal ends the waiting."""
        if self._stopping:
            self.handle_sig(signum)
            return
        self._stop_claiming()
        super().handle_sig_wait_for_completion(signum)

    async def _wait_for_tasks_to_complete(self, signum: Signals) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._job_completion_wait):
                await self._settle()
        if self._opened:
            self._tries.release_all()
        self._job_completion_wait = 0
        await super()._wait_for_tasks_to_complete(signum)

    def _stop_claiming(self) -> None:
        self._stopping = True
        if self._opened:
            self._claiming.stop()


async def _within_patience(last: Awaitable[None]) -> None:
    """Do one of the last things, if Redis is there for it."""
    with contextlib.suppress(*TRANSIENT_ERRORS):
        async with asyncio.timeout(CLOSING_PATIENCE):
            await last


def _signature() -> inspect.Signature:
    """arq's parameters and ours, for those who look up which options there are."""
    of_arq = inspect.signature(arq.worker.Worker).parameters
    of_ours = inspect.signature(Worker).parameters
    own = [p for p in of_ours.values() if p.kind is not p.VAR_KEYWORD and p.name not in of_arq]
    return inspect.Signature([*of_arq.values(), *own])


Worker.__signature__ = _signature()  # type: ignore[attr-defined]  # read by inspect.signature
