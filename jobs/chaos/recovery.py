"""Recovery time of the jobs of a lost worker."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from redis.exceptions import RedisError

from jobs.chaos.schedule import WORKERS, Fault, idle_workers, is_redis_outage
from jobs.engine import Pool
from jobs.engine.monitoring.health import workers
from jobs.engine.queue.inspection import holders

POLL_INTERVAL: Final = 0.05
TIMEOUT: Final = 60.0
"""Seconds after which a recovery counts as failed."""
OUTAGE_MARGIN: Final = 3.0
"""Seconds after a Redis outage in which workers are busy with its backlog."""


@dataclass(frozen=True, slots=True)
class Span:
    """Actual time span of a fault; it exceeds the schedule where a process has to start or stop.

    Attributes:
        fault: The fault.
        started: Start, by `time.monotonic()`.
        ended: End, by `time.monotonic()`.
    """

    fault: Fault
    started: float
    ended: float


@dataclass(frozen=True, slots=True)
class Recovery:
    """Recovery of the jobs of a lost worker.

    Attributes:
        fault: Fault that stopped the worker.
        since: Time of the loss, by `time.monotonic()`.
        jobs: Number of jobs that the worker held.
        seconds: Time until each job had ended or was running elsewhere; `TIMEOUT` if that never
            happened.
        last: Jobs that took the longest, each with its last known holder.
    """

    fault: Fault
    since: float
    jobs: int
    seconds: float
    last: Mapping[str, str]

    def is_disturbed(self, spans: Iterable[Span]) -> bool:
        """Check whether other faults could have delayed the recovery.

        Args:
            spans: Time spans of all faults of the run.

        Returns:
            True if Redis was down meanwhile, or every other worker was idle at some time.
        """
        others = [span for span in spans if span.fault != self.fault and self._overlaps(span)]
        if any(is_redis_outage(span.fault) for span in others):
            return True
        idle = {worker for span in others for worker in idle_workers(span.fault)}
        return len(idle | idle_workers(self.fault)) == WORKERS

    def _overlaps(self, span: Span) -> bool:
        ended = span.ended + OUTAGE_MARGIN * is_redis_outage(span.fault)
        return span.started < self.since + self.seconds and self.since < ended


class RecoveryMonitor:
    """Monitors the jobs of lost workers.

    Args:
        pool: Redis pool.

    Attributes:
        recoveries: Observed recoveries.
        worker_losses: Id of each affected job: how often it lost its worker.
    """

    def __init__(self, pool: Pool) -> None:
        self.recoveries: list[Recovery] = []
        self.worker_losses: Counter[str] = Counter()
        self._pool = pool
        self._queues = list(pool.queues.all())

    async def worker_id_of(self, pid: int | None) -> str | None:
        """Return the id of the worker in a process.

        Args:
            pid: Process id.

        Returns:
            The worker's id; None if there is none, or Redis is down.
        """
        try:
            return next(
                (worker.worker_id for worker in await workers(self._pool) if worker.pid == pid),
                None,
            )
        except (RedisError, OSError):
            return None

    async def watch(self, worker_id: str, fault: Fault) -> None:
        """Record how long the jobs of a worker that was just lost take to recover.

        Args:
            worker_id: Id of the lost worker.
            fault: Fault that stopped the worker.
        """
        since = time.monotonic()
        held = await self.record_loss(worker_id)
        if not held:
            return
        waiting: Mapping[str, str] = dict.fromkeys(held, "not checked")
        last = waiting
        while waiting and time.monotonic() - since < TIMEOUT:
            await asyncio.sleep(POLL_INTERVAL)
            try:
                last, waiting = waiting, await self._not_recovered(waiting, worker_id)
            except (RedisError, OSError):
                continue
        seconds = round(time.monotonic() - since, 2)
        self.recoveries.append(Recovery(fault, since, len(held), seconds, waiting or last))

    async def record_loss(self, worker_id: str) -> frozenset[str]:
        """Count a loss for each job of a worker that can no longer renew its leases.

        Args:
            worker_id: Id of the lost worker.

        Returns:
            Ids of the jobs that the worker holds; empty if Redis is down.
        """
        try:
            found = await holders(self._pool, self._queues)
        except (RedisError, OSError):
            return frozenset()
        held = frozenset(job_id for job_id, holder in found.items() if holder == worker_id)
        self.worker_losses.update(held)
        return held

    async def _not_recovered(self, job_ids: Iterable[str], worker_id: str) -> Mapping[str, str]:
        """Return the jobs that have neither ended nor run elsewhere, with their holders."""
        found = await holders(self._pool, self._queues)
        holder_names = {None: "unclaimed", worker_id: "held by the lost worker"}
        return {
            job_id: holder_names[found[job_id]]
            for job_id in job_ids
            if found.get(job_id, "ended") in holder_names
        }
