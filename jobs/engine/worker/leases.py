"""Leases: renews the leases of this worker's claims, and requeues the jobs of lost workers."""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from arq.connections import ArqRedis

from jobs.engine.connection.failures import TRANSIENT_ERRORS
from jobs.engine.queue.claim import Claim
from jobs.engine.queue.operations import NO_LIMIT_MS, QueueOperations
from jobs.engine.worker.heartbeat import Heartbeat

logger = logging.getLogger("jobs.worker")

RECLAIMS_PER_LEASE: Final = 2


class Leases:
    """Claims of one worker, with the heartbeat that renews their leases.

    Args:
        operations: The queues.
        redis: The pool whose options the heartbeat's connection uses.
        queues: The names of the queues.
        lease: Seconds until a lease expires that is not renewed.
        on_lost: Receives each claim that the worker has lost.
        on_reclaimed: Is called after jobs of lost workers were requeued.
    """

    def __init__(
        self,
        operations: QueueOperations,
        redis: ArqRedis,
        queues: Sequence[str],
        lease: float,
        *,
        on_lost: Callable[[Claim], None],
        on_reclaimed: Callable[[], None],
    ) -> None:
        self._operations = operations
        self._on_lost = on_lost
        self._on_reclaimed = on_reclaimed
        self._held: set[Claim] = set()
        self.heartbeat = Heartbeat(
            redis, queues, lease, held=lambda: list(self._held), on_lost=self._lost
        )
        self.reclaim_every = lease / RECLAIMS_PER_LEASE
        self._reclaim_until_ms = NO_LIMIT_MS

    def hold(self, claims: Iterable[Claim]) -> None:
        """Start to renew the leases of `claims`."""
        self._held.update(claims)

    def give_up(self, claims: Iterable[Claim]) -> None:
        """Stop renewing the leases of `claims`."""
        self._held.difference_update(claims)

    def _lost(self, claim: Claim) -> None:
        if claim in self._held:
            self._held.discard(claim)
            self._on_lost(claim)

    async def reclaim(self) -> None:
        """Requeue jobs whose lease has expired.

        The first call after an outage of Redis requeues nothing. During an outage, no worker can
        renew its leases, so living workers get time for a heartbeat first.

        Raises:
            TRANSIENT_ERRORS: Redis is unavailable.
        """
        try:
            job_ids, now_ms = await self._operations.reclaim(self._reclaim_until_ms)
        except TRANSIENT_ERRORS:
            self._reclaim_until_ms = 0
            raise
        self._reclaim_until_ms = now_ms + self._operations.lease_ms
        if job_ids:
            self._on_reclaimed()
        for job_id in job_ids:
            logger.warning("requeued job: lease expired job_id=%s", job_id)
