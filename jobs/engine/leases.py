"""Keeps this worker's leases alive, and puts jobs back whose worker fell silent."""

import logging
import time
from collections.abc import Callable
from typing import Final

from jobs.engine.claims import Claim, Claims

logger = logging.getLogger("jobs.worker")

RENEWALS_PER_LEASE: Final = 3
REAPS_PER_LEASE: Final = 2
LAPSES_ALLOWED: Final = 3
"""A job whose lease lapsed so often is not run again: it may be what kills the workers."""


class Leases:
    """The claims that this worker holds.

    on_lost is called with a claim that turned out to be someone else's by now; on_back when jobs
    of others were put back.
    """

    def __init__(
        self, claims: Claims, *, on_lost: Callable[[Claim], None], on_back: Callable[[], None]
    ) -> None:
        self._claims = claims
        self._on_lost = on_lost
        self._on_back = on_back
        self._held: set[Claim] = set()
        self.renew_every = claims.lease_ms / 1000 / RENEWALS_PER_LEASE
        self.reap_every = claims.lease_ms / 1000 / REAPS_PER_LEASE

    def hold(self, claim: Claim) -> None:
        self._held.add(claim)

    def give_up(self, claim: Claim) -> None:
        self._held.discard(claim)

    async def renew(self) -> None:
        """Renew what would otherwise lapse soon; raises as `Channel.call`."""
        young = time.monotonic() - self.renew_every
        due = [claim for claim in self._held if claim.since < young]
        if not due:
            return
        for claim in await self._claims.renew(due):
            if claim in self._held:
                self._held.discard(claim)
                self._on_lost(claim)

    async def reap(self) -> None:
        """Put jobs back whose lease has lapsed; raises as `Channel.call`."""
        back = await self._claims.reap()
        if back:
            self._on_back()
        for job_id in back:
            logger.warning("job %s is put back: its worker fell silent", job_id)
