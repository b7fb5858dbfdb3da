"""The claims that a worker holds, and those of others that fell silent."""

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
    """What one worker holds, kept alive while it does.

    on_lost is called with a claim that turned out to be someone else's by now; on_back when jobs
    of others were put back.
    """

    def __init__(
        self,
        claims: QueueOperations,
        redis: ArqRedis,
        queues: Sequence[str],
        lease: float,
        *,
        on_lost: Callable[[Claim], None],
        on_back: Callable[[], None],
    ) -> None:
        self._claims = claims
        self._on_lost = on_lost
        self._on_back = on_back
        self._held: set[Claim] = set()
        self.heartbeat = Heartbeat(
            redis, queues, lease, held=lambda: list(self._held), on_lost=self._lost
        )
        self.reclaim_every = lease / RECLAIMS_PER_LEASE
        self._reclaim_until_ms = NO_LIMIT_MS

    def hold(self, claims: Iterable[Claim]) -> None:
        self._held.update(claims)

    def give_up(self, claims: Iterable[Claim]) -> None:
        self._held.difference_update(claims)

    def _lost(self, claim: Claim) -> None:
        if claim in self._held:
            self._held.discard(claim)
            self._on_lost(claim)

    async def reclaim(self) -> None:
        """Put jobs back whose lease has lapsed; raises as `Channel.call`.

        Where Redis was away since the last time, this time nothing is put back: leases lapse while
        nobody can renew them, and first their owners may show that they live.
        """
        try:
            back, now_ms = await self._claims.reclaim(self._reclaim_until_ms)
        except TRANSIENT_ERRORS:
            self._reclaim_until_ms = 0
            raise
        self._reclaim_until_ms = now_ms + self._claims.lease_ms
        if back:
            self._on_back()
        for job_id in back:
            logger.warning("job %s is put back: its worker fell silent", job_id)
