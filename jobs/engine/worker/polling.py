"""The polling interval: the time between two claims, from the results of earlier ones."""

import asyncio
import logging
import random
from typing import Final

from jobs.engine.connection.backoff import backoff_delay
from jobs.engine.connection.outage import Outage
from jobs.engine.queue.claim import ClaimReply

logger = logging.getLogger("jobs.worker")

_SHORTEST: Final = 0.002
_MIN_LONGEST: Final = 0.05
_LONGEST_STAGGER: Final = 0.1


class PollingInterval:
    """Computes the time until the next claim.

    Args:
        poll_delay: Seconds after which a worker claims again without a notification.
        idle_delay: The same for empty queues whose changes are notified.
    """

    def __init__(self, poll_delay: float, idle_delay: float) -> None:
        self.longest = max(poll_delay, _MIN_LONGEST)
        self._idle_delay = idle_delay
        self._empty_claims = 0
        self._notified = False
        self._claims_in_vain = 0
        self._outage = Outage("claiming")

    def until_next(self, reply: ClaimReply, *, notified: bool) -> float:
        """Return the longest wait after a claim that left slots free, in seconds.

        Args:
            reply: The reply to the last claim.
            notified: Redis notifies of changes. Without notifications the queue is polled, more
                slowly the longer it stays empty.
        """
        self._empty_claims = 0 if reply.claims else self._empty_claims + 1
        in_vain = self._notified and self._empty_claims
        self._claims_in_vain = self._claims_in_vain + 1 if in_vain else 0
        self._notified = False
        wait = self.longest
        if not notified:
            wait = backoff_delay(self._empty_claims, _SHORTEST, wait)
        elif reply.remaining == 0:
            wait = self._idle_delay
        if reply.next_due_in is not None:
            wait = min(wait, reply.next_due_in + 0.001)
        return wait

    async def stagger(self) -> None:
        """Wait after a notification, longer the more often the claim that followed was in vain.

        Redis notifies every idle worker of a job, and one worker gets it.
        """
        self._notified = True
        if self._claims_in_vain > 1:
            longest = backoff_delay(self._claims_in_vain, _SHORTEST, _LONGEST_STAGGER)
            await asyncio.sleep(random.uniform(0, longest))  # noqa: S311 - no secret

    def handed_job(self) -> None:
        """Note that a job came without a claim: the next notification is most likely about it."""
        self._claims_in_vain = 0

    async def back_off(self, error: Exception) -> None:
        """Wait because Redis is unavailable or refuses, longer with each repetition."""
        await self._outage.back_off(error)

    def recovered(self) -> None:
        """Note that Redis has answered."""
        if self._outage.end():
            logger.warning("Redis is available again")
